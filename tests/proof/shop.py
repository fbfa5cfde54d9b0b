"""A merchant's client of the real api process, and the comparison of all that it sees with the model."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests

from tests.proof.audit import balances
from tests.proof.model import Json, Payment, Request
from tests.waiting import wait_until

#: Tables whose rows a refused request must leave alone, and how to select those of some merchants.
_TABLES = ("payments", "operations", "attempts", "idempotency_keys", "events", "ledger_transfers", "audit_log")
_TABLES_OF_SETTINGS = ("webhook_endpoints", "webhook_messages", "webhook_deliveries")


@dataclass
class Answer:
    """A response."""

    status: int
    body: Json
    headers: Mapping[str, str]
    text: str

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"


@dataclass
class Shop:
    """A merchant: its key, and what the model knows of it."""

    url: str
    merchant: str
    token: str
    session: requests.Session
    payments: list[Payment] = field(default_factory=list)
    #: Every POST about a payment that was not refused, with its first answer.
    requests: list[tuple[Request, Answer]] = field(default_factory=list)
    #: (payment, number of its event or entry), in the order of their commits.
    events: list[tuple[Payment, int]] = field(default_factory=list)
    entries: list[tuple[Payment, int]] = field(default_factory=list)

    def call(self, method: str, path: str, body: object = None, *, token: str | None = None, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        response = self.session.request(
            method, self.url + path, json=body, headers=headers, verify=False, timeout=30, **more
        )
        assert response.status_code < 500, response.text
        parsed = response.json() if "json" in response.headers.get("Content-Type", "") else {}
        return Answer(status=response.status_code, body=parsed, headers=response.headers, text=response.text)

    def get(self, path: str, *, token: str | None = None, **query: Any) -> Answer:
        return self.call("GET", path, token=token, params=query)

    def post(self, path: str, body: object, *, key: str | None = None, token: str | None = None) -> Answer:
        key = key or uuid.uuid4().hex
        return self.call("POST", path, body, token=token, headers={"Idempotency-Key": key})

    def note(self, payment: Payment) -> None:
        """Take note of what the last change of ``payment`` has added to the books, in order."""
        for log, items in ((self.events, payment.events), (self.entries, payment.entries)):
            known = sum(1 for other, _ in log if other is payment)
            log.extend((payment, number) for number in range(known, len(items)))

    # ---- comparison ----------------------------------------
    def everything(self, path: str, *, limit: int = 100, **query: Any) -> list[Json]:
        """Read a list to its end, page by page, and check that the pages fit together."""
        found: list[Json] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, limit=limit, **cursor, **query)
            assert page.status == 200, page.text
            assert page.body["object"] == "list"
            assert page.body["has_more"] == (page.body["next_cursor"] is not None)
            found += page.body["data"]
            if not page.body["has_more"]:
                break
            assert len(page.body["data"]) == limit, "only the last page is not full"
            cursor = {"cursor": page.body["next_cursor"]}
        return found

    def compare(self, *, limit: int = 100) -> None:
        """Compare all that the merchant sees with the model; ``limit`` is the size of pages."""
        shown = self.everything("/v1/payments", limit=limit)
        assert [item["id"] for item in shown] == [payment.id for payment in reversed(self.payments)]
        for item, payment in zip(shown, reversed(self.payments), strict=True):
            self.check_payment(item, payment)
        self._compare_books(limit)

    def compare_details(self, payment: Payment, *, limit: int = 100) -> None:
        """Compare one payment with the model, in each way in which it can be read."""
        path = f"/v1/payments/{payment.id}"
        self.check_payment(self.get(path).body, payment)
        refunds = self.everything(f"{path}/refunds", limit=limit)
        assert [item["id"] for item in refunds] == [refund.id for refund in reversed(payment.refunds)]
        for item, refund in zip(refunds, reversed(payment.refunds), strict=True):
            matches(item, payment.refund_view(refund))
        events = self.everything(f"{path}/events", limit=limit)
        assert [item["sequence"] for item in events] == list(range(len(payment.events), 0, -1))
        for item, event in zip(events, reversed(payment.events), strict=True):
            self._check_event(item, payment, event)
        for kind, items in (("refunds", refunds), ("events", events)):
            for item in items[:1]:
                assert self.get(f"/v1/{kind}/{item['id']}").body == item

    def _compare_books(self, limit: int) -> None:
        """Events and entries are listed once no transaction can precede them any more: in a moment."""
        events = self._complete("/v1/events", limit, len(self.events))
        for item, (payment, number) in zip(events, reversed(self.events), strict=True):
            assert item["payment"] == payment.id, "in the order of commits"
            assert item["sequence"] == number + 1
            self._check_event(item, payment, payment.events[number])
        entries = self._complete("/v1/ledger/entries", limit, len(self.entries))
        for item, (payment, number) in zip(entries, reversed(self.entries), strict=True):
            found = tuple(item[name] for name in ("kind", "debit_account", "credit_account", "amount"))
            assert (item["payment"], found) == (payment.id, payment.entries[number])
        shown = self.get("/v1/balances").body["data"]
        assert {(item["currency"], item["account"]): item["balance"] for item in shown} == balances(entries)

    def _complete(self, path: str, limit: int, count: int) -> list[Json]:
        found: list[Json] = []

        def is_complete() -> bool:
            found[:] = self.everything(path, limit=limit)
            return len(found) >= count

        wait_until(is_complete, f"{count} items of {path}, and there are {len(found)}", timeout=10)
        return found

    def _check_event(self, item: Json, payment: Payment, event: tuple[str, Json]) -> None:
        assert (item["type"], item["payment"], item["livemode"]) == (event[0], payment.id, False)
        matches(item["data"]["object"], event[1])

    def check_payment(self, item: Json, payment: Payment) -> None:
        matches(item, payment.view())
        assert item["id"] == payment.id
        assert (item["next_action"] is not None) == (payment.status == "requires_action")


def matches(found: Json, expected: Json) -> None:
    """Check that ``found`` shows what the model predicts; of an error, what it is called."""
    shown = {name: found.get(name, "(missing)") for name in expected}
    if shown.get("last_error") and expected["last_error"]:
        shown["last_error"] = {name: shown["last_error"][name] for name in expected["last_error"]}
    assert shown == expected


def fingerprint(connection: psycopg.Connection[Any], merchants: Sequence[str]) -> Sequence[object]:
    """Return a digest of each table's rows of ``merchants``. Logs and times of last use are left out."""
    parts = [
        f"(SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} AS t"
        " WHERE merchant_id = ANY(%(merchants)s))"
        for table in (*_TABLES, *_TABLES_OF_SETTINGS)
    ]
    parts.append(
        "(SELECT md5(coalesce(string_agg((id, scopes, expires_at, revoked_at, replaced_by)::text, '|' ORDER BY id), '')"
        ") FROM api_keys WHERE merchant_id = ANY(%(merchants)s))"
    )
    parts.append("(SELECT count(*) FROM sandbox_journal)")
    row = connection.execute(f"SELECT {', '.join(parts)}", {"merchants": list(merchants)}).fetchone()
    assert row is not None
    return tuple(row)
