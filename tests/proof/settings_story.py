"""The part of a story that is about webhook endpoints, what they receive, and API keys."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import rule

from payments.delivery.sender import DeliveryResult, Sender
from payments.services import webhook_delivery
from payments.services.context import Context
from payments.worker.webhook_delivery import DeliveryPool
from tests.proof.model import Json
from tests.proof.shop import Shop
from tests.waiting import wait_until

PICK = st.integers(0, 7)
SHOPS = st.sampled_from([0, 0, 1])
#: An endpoint's wishes, and whether they include an event's type.
WISHES = [["*"], ["payment.succeeded"], ["refund.succeeded", "payment.canceled"]]
#: Endpoints that a merchant can have in a mode.
MOST_ENDPOINTS = 16
SCOPES = ["payments:read", "payments:write", "ledger:read", "api_keys:write"]


@dataclass
class Endpoint:
    """A webhook endpoint; ``secrets`` are those that sign, the newest first."""

    id: str
    url: str
    wishes: list[str]
    secrets: list[str]
    #: How many events there were before it: those it does not get.
    since: int
    description: str | None = None
    status: str = "enabled"
    #: What has become of each event that was fanned out to it, by its number in the shop's log.
    messages: dict[int, str] = field(default_factory=dict)

    def wants(self, event: str) -> bool:
        return "*" in self.wishes or event in self.wishes


@dataclass
class Key:
    """An API key."""

    id: str
    token: str
    scopes: list[str]
    status: str = "active"
    replaced: bool = False


@dataclass
class Settings:
    """A shop's endpoints and keys."""

    endpoints: list[Endpoint] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    #: How many URLs it has asked to be told at.
    urls: int = 0
    #: How many events of the shop have been fanned out.
    fanned_out: int = 0


class Recorder(Sender):
    """Accepts everything, and keeps it."""

    def __init__(self) -> None:
        """Open nothing."""
        self.received: list[tuple[str, Any, bytes]] = []

    def post(self, url: str, *, headers: Any, body: bytes) -> DeliveryResult:
        self.received.append((url, dict(headers), body))
        return DeliveryResult(status=200, error=None, duration=timedelta(0))


class SettingsStory:
    """Rules; the machine that mixes them in provides what is declared here."""

    shops: list[Shop]
    settings_of: list[Settings]
    database: psycopg.Connection[Any]
    context: Context

    # ---- endpoints ----------------------------------------
    @rule(number=SHOPS, wishes=st.sampled_from(WISHES))
    def add_endpoint(self, number: int, wishes: list[str]) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        known.urls += 1  # never the URL of another one, also after deletions
        url = f"https://shop.example/{shop.merchant}/{known.urls}"
        answer = shop.post("/v1/webhook_endpoints", {"url": url, "event_types": wishes})
        if len(known.endpoints) == MOST_ENDPOINTS:
            assert answer.status == 422
            self.compare_endpoints(number)
            return
        assert answer.status == 201, answer.text
        made = Endpoint(
            id=answer.body["id"],
            url=url,
            wishes=sorted(wishes),
            secrets=[answer.body["secret"]],
            since=len(shop.events),
        )
        known.endpoints.append(made)
        self.compare_endpoints(number)

    @rule(number=SHOPS, pick=PICK, change=st.sampled_from(["disable", "enable", "wishes", "description", "clear"]))
    def change_endpoint(self, number: int, pick: int, change: str) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        if not known.endpoints:
            return
        endpoint = known.endpoints[-1 - pick % len(known.endpoints)]
        bodies: dict[str, Json] = {
            "disable": {"status": "disabled"},
            "enable": {"status": "enabled"},
            "wishes": {"event_types": ["payment.authorized"]},
            "description": {"description": "für alles"},
            "clear": {"description": None},
        }
        body = bodies[change]
        assert shop.call("PATCH", f"/v1/webhook_endpoints/{endpoint.id}", body).status == 200
        stranger = self.shops[1 - number]
        assert stranger.call("PATCH", f"/v1/webhook_endpoints/{endpoint.id}", body).status == 404
        endpoint.status = body.get("status", endpoint.status)
        endpoint.wishes = body.get("event_types", endpoint.wishes)
        endpoint.description = body.get("description", endpoint.description) if change != "clear" else None
        held, waiting = ("held", "pending") if endpoint.status == "enabled" else ("pending", "held")
        if "status" in body or endpoint.status == "enabled":
            for event, state in endpoint.messages.items():
                endpoint.messages[event] = waiting if state == held else state
        self.compare_endpoints(number)

    @rule(number=SHOPS, pick=PICK, overlap=st.sampled_from([0, 3600]))
    def rotate_secret(self, number: int, pick: int, overlap: int) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        if not known.endpoints:
            return
        endpoint = known.endpoints[-1 - pick % len(known.endpoints)]
        path = f"/v1/webhook_endpoints/{endpoint.id}/rotate_secret"
        answer = shop.post(path, {"overlap": overlap}, key=f"rotate-{len(endpoint.secrets)}-{pick}-{overlap}")
        if answer.replayed or answer.status != 200:
            return  # the same key as before: nothing new
        assert self.shops[1 - number].post(path, {}).status == 404
        endpoint.secrets = [answer.body["secret"], *(endpoint.secrets[:1] if overlap else [])]
        self.compare_endpoints(number)

    @rule(number=SHOPS, pick=PICK)
    def delete_endpoint(self, number: int, pick: int) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        if not known.endpoints:
            return
        endpoint = known.endpoints[-1 - pick % len(known.endpoints)]
        path = f"/v1/webhook_endpoints/{endpoint.id}"
        assert self.shops[1 - number].call("DELETE", path).status == 404
        assert shop.call("DELETE", path).status == 200
        assert shop.call("DELETE", path).status == 404
        known.endpoints.remove(endpoint)
        self.compare_endpoints(number)

    def compare_endpoints(self, number: int) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        shown = shop.everything("/v1/webhook_endpoints", limit=3)
        expected = [
            (endpoint.id, endpoint.url, endpoint.wishes, endpoint.status, endpoint.description)
            for endpoint in reversed(known.endpoints)
        ]
        names = ("id", "url", "event_types", "status", "description")
        assert [tuple(item[name] for name in names) for item in shown] == expected
        assert all(item["secret"] is None for item in shown)

    # ---- events on their way ----------------------------------------
    @rule(number=SHOPS, pick=PICK)
    def redeliver(self, number: int, pick: int) -> None:
        """An event is delivered again to whoever subscribes to it now, and to nobody else."""
        shop, known = self.shops[number], self.settings_of[number]
        if not shop.events:
            return
        chosen = len(shop.events) - 1 - pick % len(shop.events)
        payment, sequence = shop.events[chosen]
        (event,) = self.database.execute(
            "SELECT id FROM events WHERE payment_id = %s AND sequence = %s", [payment.id, sequence + 1]
        ).fetchone() or ("",)
        assert self.shops[1 - number].post(f"/v1/events/{event}/redeliver", {}).status == 404
        answer = shop.post(f"/v1/events/{event}/redeliver", {})
        wanting = [
            endpoint
            for endpoint in known.endpoints
            if endpoint.status == "enabled" and endpoint.wants(payment.events[sequence][0])
        ]
        assert answer.status == 202
        assert answer.body["webhook_endpoints"] == sorted(endpoint.id for endpoint in wanting)
        for endpoint in wanting:
            endpoint.messages[chosen] = "pending"

    @rule()
    def deliver(self) -> None:
        """Each endpoint gets what it subscribed to, once, signed with the secrets that count."""
        expected: list[tuple[str, str, int]] = []
        for shop, known in zip(self.shops, self.settings_of, strict=True):
            self._fan_out(shop, known)
            for endpoint in known.endpoints:
                for number, state in endpoint.messages.items():
                    if state == "pending":
                        expected.append((endpoint.url, shop.events[number][0].id, shop.events[number][1] + 1))
                        endpoint.messages[number] = "delivered"
        count = "SELECT count(*) FROM webhook_messages WHERE merchant_id = ANY(%s) AND status = 'pending'"
        merchants = [shop.merchant for shop in self.shops]

        def is_fanned_out() -> bool:
            webhook_delivery.fan_out(self.context)
            row = self.database.execute(count, [merchants]).fetchone()
            return row is not None and row[0] >= len(expected)

        wait_until(is_fanned_out, f"{len(expected)} messages", timeout=10)
        recorder = Recorder()
        pool = DeliveryPool(self.context, recorder)
        while pool.run():
            assert pool.wait_until_idle()
        pool.close()
        received = [
            (url, *self._check_message(url, headers, body))
            for url, headers, body in recorder.received
            if any(merchant in url for merchant in merchants)  # not of an earlier story
        ]
        assert sorted(received) == sorted(expected)

    def _fan_out(self, shop: Shop, known: Settings) -> None:
        for number in range(known.fanned_out, len(shop.events)):
            payment, sequence = shop.events[number]
            for endpoint in known.endpoints:
                if endpoint.since <= number and endpoint.wants(payment.events[sequence][0]):
                    waiting = "pending" if endpoint.status == "enabled" else "held"
                    endpoint.messages.setdefault(number, waiting)
        known.fanned_out = len(shop.events)

    def _check_message(self, url: str, headers: Any, body: bytes) -> tuple[str, int]:
        (endpoint,) = (item for known in self.settings_of for item in known.endpoints if item.url == url)
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signatures = [
            "v1," + base64.b64encode(hmac.digest(_secret(secret), content, hashlib.sha256)).decode()
            for secret in endpoint.secrets
        ]
        assert headers["webhook-signature"].split(" ") == signatures
        row = self.database.execute(
            "SELECT body, payment_id, sequence FROM events WHERE id = %s", [headers["webhook-id"]]
        ).fetchone()
        assert row is not None
        assert body.decode() == row[0]
        return str(row[1]), int(row[2])

    # ---- keys ----------------------------------------
    @rule(number=SHOPS, scopes=st.lists(st.sampled_from(SCOPES), min_size=1, unique=True))
    def add_key(self, number: int, scopes: list[str]) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        answer = shop.post("/v1/api_keys", {"name": "k", "scopes": scopes})
        assert answer.status == 201, answer.text
        known.keys.append(Key(id=answer.body["id"], token=answer.body["secret"], scopes=scopes))

    @rule(number=SHOPS, pick=PICK)
    def use_key(self, number: int, pick: int) -> None:
        """A key does what its scopes say, for its own merchant, for as long as it lives; it grants no more."""
        shop, known = self.shops[number], self.settings_of[number]
        if not known.keys:
            return
        key = known.keys[-1 - pick % len(known.keys)]
        reads = {"payments:read": "/v1/payments", "ledger:read": "/v1/balances", "events:read": "/v1/events"}
        for scope, path in reads.items():
            allowed = 200 if scope in key.scopes else 403
            assert shop.get(path, token=key.token).status == (allowed if key.status == "active" else 401)
        answer = shop.post("/v1/api_keys", {"name": "more", "scopes": ["webhooks:write"]}, token=key.token)
        assert answer.status == (403 if key.status == "active" else 401)

    @rule(number=SHOPS, pick=PICK, overlap=st.sampled_from([0, 3600]))
    def rotate_key(self, number: int, pick: int, overlap: int) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        if not known.keys:
            return
        key = known.keys[-1 - pick % len(known.keys)]
        path = f"/v1/api_keys/{key.id}/rotate"
        assert self.shops[1 - number].post(path, {}).status == 404
        answer = shop.post(path, {"overlap": overlap})
        if key.status != "active" or key.replaced:
            assert answer.status == 409
            return
        assert answer.status == 201, answer.text
        key.replaced = True
        key.status = "active" if overlap else "expired"
        known.keys.append(Key(id=answer.body["id"], token=answer.body["secret"], scopes=key.scopes))

    @rule(number=SHOPS, pick=PICK)
    def revoke_key(self, number: int, pick: int) -> None:
        shop, known = self.shops[number], self.settings_of[number]
        if not known.keys:
            return
        key = known.keys[-1 - pick % len(known.keys)]
        path = f"/v1/api_keys/{key.id}/revoke"
        assert self.shops[1 - number].post(path, {}).status == 404
        answer = shop.post(path, {})
        assert (answer.status, answer.body["status"]) == (200, "revoked")
        key.status = "revoked"
        statuses = {item["id"]: item["status"] for item in shop.everything("/v1/api_keys", limit=2)}
        assert {found.id: statuses[found.id] for found in known.keys} == {
            found.id: found.status for found in known.keys
        }


def _secret(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("whsec_"))
