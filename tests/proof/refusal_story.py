"""The part of a story that is about requests that execute nothing: repetitions, and what is refused."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.proof.model import Json
from tests.proof.shop import Answer, Shop, fingerprint, matches
from tests.service.fixtures import Postgres, make_key

PICK = st.integers(0, 7)
#: What is wrong with a new payment.
INVALID: dict[str, Json] = {
    "amount 0": {"amount": 0},
    "amount -1": {"amount": -1},
    "float": {"amount": 100.0},
    "text": {"amount": "100"},
    "too large": {"amount": 10**12},
    "lower case": {"currency": "eur"},
    "no currency": {"currency": "XXX"},
    "unknown field": {"customer": "c"},
    "unknown token": {"payment_method": "tok_nobody"},
}
KEYS = {"no key": {}, "two keys": {"Idempotency-Key": "one, two"}}
IDS = {"stranger's": "", "no such": "pay_" + "0" * 26, "malformed": "pay_1"}
CREDENTIALS = ["no credentials", "live key", "wrong secret"]
REFUSALS = [*INVALID, *KEYS, *IDS, *CREDENTIALS]


class RefusalStory:
    """Rules; the machine that mixes them in provides what is declared here."""

    shops: list[Shop]
    postgres: Postgres
    database: psycopg.Connection[Any]

    @property
    def merchants(self) -> Sequence[str]:
        return [shop.merchant for shop in self.shops]

    @rule(number=st.sampled_from([0, 0, 1]), pick=st.integers(0, 30))
    def repeat(self, number: int, pick: int) -> None:
        """A request under its old key executes nothing, and is answered as it was, or as it has ended since."""
        shop = self.shops[number]
        if not shop.requests:
            return
        request, first = shop.requests[-1 - pick % len(shop.requests)]
        before = fingerprint(self.database, self.merchants)
        again = shop.post(request.path, request.body, key=request.key)
        assert fingerprint(self.database, self.merchants) == before
        assert again.replayed
        if first.status != 202:
            assert (again.status, again.text) == (first.status, first.text), "to the byte"
        elif request.final is None:
            assert again.status == 202
            assert again.body["id"] == first.body["id"]
        else:
            status, body = request.final
            assert again.status == status, again.text
            for name, expected in body.items() if status == 402 else [("", body)]:
                matches(again.body[name] if name else again.body, expected)

    @rule(number=st.sampled_from([0, 0, 1]), pick=st.integers(0, 30), change=st.sampled_from(["body", "path", "owner"]))
    def misuse_key(self, number: int, pick: int, change: str) -> None:
        """An old key with another request is refused; another merchant's keys are another matter."""
        shop = self.shops[number]
        if not shop.requests:
            return
        request, _ = shop.requests[-1 - pick % len(shop.requests)]
        other = self.shops[1 - number]
        body, path, sender, status = {**request.body, "amount": 3}, request.path, shop, 422
        if change == "path":
            path, body = ("/v1/webhook_endpoints", {"url": "https://shop.example/h"})
        if change == "owner":
            if not request.path.startswith("/v1/payments/"):
                return
            sender, body, status = other, request.body, 404
        if body == request.body and change == "body":
            return
        answer = self.refuse(status, lambda: sender.post(path, body, key=request.key))
        if status == 422:
            assert answer.code in ("idempotency_mismatch", "validation_failed")

    @rule(
        pick=PICK,
        what=st.sampled_from(REFUSALS),
    )
    def refused(self, pick: int, what: str) -> None:
        """What is wrong is refused, and changes nothing."""
        shop, stranger = self.shops
        if what == "stranger's" and not shop.payments:
            return
        body: Json = {"amount": 100, "currency": "EUR", "payment_method": "tok_visa"}
        if what in INVALID:
            self.refuse(422, lambda: shop.post("/v1/payments", {**body, **INVALID[what]}))
            return
        if what in KEYS:
            self.refuse(400, lambda: shop.call("POST", "/v1/payments", body, headers=KEYS[what]))
            return
        if what in IDS:
            self._refuse_id(stranger, IDS[what] or shop.payments[-1 - pick % len(shop.payments)].id)
            return
        live = make_key(self.postgres, shop.merchant, livemode=True).token if what == "live key" else ""
        token = {"no credentials": "x", "live key": live, "wrong secret": shop.token[:-1] + "?"}[what]
        self.refuse(401, lambda: shop.post("/v1/payments", body, token=token))

    def _refuse_id(self, shop: Shop, payment_id: str) -> None:
        for kind in ("capture", "void", "refunds"):
            self.refuse(404, partial(shop.post, f"/v1/payments/{payment_id}/{kind}", {}))
        for path in ("", "/refunds", "/events"):
            assert shop.get(f"/v1/payments/{payment_id}{path}").status == 404

    def refuse(self, status: int, send: Callable[[], Answer]) -> Answer:
        before = fingerprint(self.database, self.merchants)
        answer = send()
        assert answer.status == status, answer.text
        assert fingerprint(self.database, self.merchants) == before, "a request that is refused changes nothing"
        return answer
