"""A merchant of its own for one run of a race: what its clients and the worker do, and what is seen in the end."""

import hashlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import psycopg
from werkzeug.test import TestResponse

from payments.delivery.sender import DeliveryResult, Sender
from payments.domain.api_keys import ALL_SCOPES, compose, hash_token, new_secret
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.processors.inbound import ProcessorEvent
from payments.repositories.webhook_messages import InFlight
from payments.services import inbox, recovery, webhook_delivery
from payments.services.recovery import void_expired_authorizations
from tests.proof.audit import audit
from tests.service.api import Client
from tests.service.fixtures import ApiKey, Postgres

#: What an actor does, and what it is answered, such as ``201`` or ``409 operation_in_progress``.
Action = Callable[["Stage"], str]
_numbers = itertools.count()
HOOK = "https://shop.example/hook"


def answer_of(response: TestResponse) -> str:
    """Return the status of a response, with the code of its problem."""
    code = response.get_json().get("code") if response.is_json and response.status_code >= 400 else None
    replayed = "replayed" if response.headers.get("Idempotency-Replayed") else None
    return " ".join(str(part) for part in (response.status_code, code, replayed) if part)


@dataclass
class Stage:
    """The merchant, and what the set-up of a race has made for it."""

    postgres: Postgres
    observer: psycopg.Connection[Any]
    client: Client
    payment: str = ""
    page: str = ""
    endpoint: str = ""
    event: str = ""
    spare_key: str = ""
    #: The processor's ids of the payment and of its refunds, before the race.
    references: tuple[str, ...] = ()
    answers: list[TestResponse] = field(default_factory=list)

    @classmethod
    def make(cls, postgres: Postgres, observer: psycopg.Connection[Any], client: Client) -> "Stage":
        merchant = f"mer_race{next(_numbers)}"
        observer.execute("INSERT INTO merchants (id, name) VALUES (%s, %s)", [merchant, merchant])
        return cls(postgres=postgres, observer=observer, client=_with_new_key(client, observer, merchant))

    def for_actor(self) -> "Stage":
        """Return the same with an API key of the actor's own: the lock on one that they share would keep them apart."""
        return replace(self, client=_with_new_key(self.client, self.observer, self.merchant))

    @property
    def merchant(self) -> str:
        return self.client.key.merchant_id

    def post(self, path: str, body: object = None, *, key: str | None = None) -> str:
        response = self.client.post(path, body, key=key)
        self.answers.append(response)
        return answer_of(response)

    def patch(self, path: str, body: object) -> str:
        return answer_of(self.client.http().patch(path, json=body, headers=self.client.key.headers))

    def delete(self, path: str) -> str:
        return answer_of(self.client.http().delete(path, headers=self.client.key.headers))

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Execute as a superuser, while no actor runs."""
        cursor = self.observer.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

    # ---- what has happened before ----------------------------------------
    def pay(self, token: str = "tok_visa", **fields: Any) -> str:
        response = self.client.create(token, **fields)
        body = response.get_json()
        self.payment = str(body["id"])
        if body["next_action"]:
            self.page = body["next_action"]["redirect_to_url"]["url"].removeprefix("https://localhost:8443")
        return self.payment

    def authorize(self, token: str = "tok_visa") -> str:
        return self.pay(token, capture_method="manual")

    def add_endpoint(self) -> str:
        self.endpoint = str(self.client.json(self.client.post("/v1/webhook_endpoints", {"url": HOOK}))["id"])
        return self.endpoint

    def look_references_up(self) -> None:
        rows = self.sql("SELECT processor_reference FROM attempts WHERE merchant_id = %s", self.merchant)
        self.references = tuple(row[0] for row in rows)

    # ---- what the worker and the processor do ----------------------------------------
    def work(self) -> str:
        """Settle what is due, as the worker's threads do."""
        claimed = recovery.claim_due(self.client.context, "sandbox", limit=16, reserved=6)
        for attempt in claimed:
            recovery.settle_claimed(self.client.context, attempt, started=time.monotonic())
        return "ran" if claimed else "idle"

    def work_now(self) -> str:
        """Settle the payment, due or not, as a worker to whom it has become due."""
        with self.client.context.database.transaction() as tx:
            tx.execute("SELECT FROM payments WHERE id = %s FOR NO KEY UPDATE", [self.payment])
            tx.execute(
                "UPDATE attempts SET next_look_at = now() WHERE status = 'open' AND payment_id = %s", [self.payment]
            )
            tx.commit()
        return self.work()

    def void_expired(self) -> str:
        void_expired_authorizations(self.client.context)
        return "ran"

    def processor_event(self, reference: str) -> str:
        name = hashlib.sha256(reference.encode()).hexdigest()[:12]
        event = ProcessorEvent(event_id=f"{name}{next(_numbers)}", type="x", livemode=False, references=(reference,))
        inbox.receive(self.client.context, "sandbox", event)
        return "ran"

    def fan_out(self) -> str:
        webhook_delivery.fan_out(self.client.context)
        return "ran"

    def deliver(self) -> str:
        claimed = webhook_delivery.claim_due(self.client.context, free=16, in_flight=InFlight())
        for message in claimed:
            result = webhook_delivery.send(Receiving(), message)
            webhook_delivery.record(self.client.context, message, result)
        return "ran" if claimed else "idle"

    # ---- the end ----------------------------------------
    def settle(self) -> None:
        """Let time pass until nothing changes any more, then check all that must hold."""
        self.sql("UPDATE sandbox_journal SET settles_at = now() WHERE settles_at > now()")
        for _ in range(2):  # the second time for what the first has started, such as the void of an expired payment
            self.sql(
                "UPDATE attempts SET deadline_at = now(), next_look_at = now()"
                " WHERE status = 'open' AND merchant_id = %s",
                self.merchant,
            )
            while self.work() != "idle":
                pass
        audit(self.observer, [self.merchant], settled=True)

    def leave(self) -> None:
        """Leave nothing to the worker of the next run."""
        self.sql("UPDATE payments SET expires_at = NULL WHERE merchant_id = %s", self.merchant)
        self.sql("UPDATE attempts SET next_look_at = now() + '1 year' WHERE merchant_id = %s", self.merchant)
        self.sql(
            "UPDATE webhook_messages SET status = 'failed', settled_at = now() WHERE merchant_id = %s", self.merchant
        )

    def payments(self) -> str:
        """Return how many payments there are, and the answer to one more repetition."""
        found = self.client.json(self.client.get("/v1/payments"))["data"]
        return " ".join([str(len(found)), *(payment["status"] for payment in found)])

    def webhooks(self) -> str:
        """Deliver everything, and return the endpoint's state and what has become of its messages."""
        while webhook_delivery.fan_out(self.client.context):
            pass
        stranded = self.sql(
            "SELECT endpoint.status, message.status FROM webhook_messages AS message JOIN webhook_endpoints AS endpoint"
            " ON endpoint.id = endpoint_id WHERE message.merchant_id = %s AND (message.status = 'held'"
            " AND endpoint.status = 'enabled' OR message.status = 'pending'"
            " AND (endpoint.status = 'disabled' OR endpoint.deleted_at IS NOT NULL))",
            self.merchant,
        )
        assert stranded == [], "held is for disabled endpoints, pending for enabled ones"
        while self.deliver() != "idle":
            pass
        found = self.sql(
            "SELECT CASE WHEN endpoint.deleted_at IS NULL THEN endpoint.status ELSE 'deleted' END, message.status"
            " FROM webhook_endpoints AS endpoint LEFT JOIN webhook_messages AS message ON endpoint.id = endpoint_id"
            " WHERE endpoint.merchant_id = %s",
            self.merchant,
        )
        return ", ".join(f"{endpoint} {message}" for endpoint, message in found)

    def endpoints(self) -> int:
        """Return how many endpoints there are."""
        return len(self.client.json(self.client.get("/v1/webhook_endpoints", limit=100))["data"])

    def secrets(self) -> str:
        """Compare what signs with the secrets that were returned, and return the description."""
        ((current, previous, description),) = self.sql(
            "SELECT secret, previous_secret, description FROM webhook_endpoints WHERE id = %s", self.endpoint
        )
        told = [answer.get_json().get("secret") for answer in self.answers]
        assert {secret for secret in told if secret} <= {current, previous}, "a secret that was returned signs"
        return f"{description} {current in told}"

    def keys(self) -> str:
        """Return the statuses of the spare key and its successors, oldest first."""
        found = self.client.json(self.client.get("/v1/api_keys", limit=100))["data"]
        return " ".join(key["status"] for key in reversed(found) if key["name"] == "spare")

    def amounts(self) -> str:
        """Return the payment as ``status captured-refunded``."""
        payment = self.client.payment(self.payment)
        return f"{payment['status']} {payment['amount_captured']}-{payment['amount_refunded']}"


class Receiving(Sender):
    """Delivers to a receiver that accepts everything, without a network."""

    def __init__(self) -> None:
        """Open nothing."""
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    def post(self, url: str, *, headers: Any, body: bytes) -> DeliveryResult:
        self.sent.append((url, dict(headers), body))
        return DeliveryResult(status=200, error=None, duration=timedelta(milliseconds=1))


def _with_new_key(client: Client, connection: psycopg.Connection[Any], merchant_id: str) -> Client:
    own = Client.__new__(Client)  # shares the application, which takes long to make
    own.app, own.context, own.key = client.app, client.context, _new_key(connection, merchant_id)
    assert own.get("/v1/balances").status_code == 200, "the key is known to the authenticator"
    return own


def _new_key(connection: psycopg.Connection[Any], merchant_id: str) -> ApiKey:
    secret = new_secret()
    token = compose(livemode=False, key_id=secret[:12], secret=secret)
    connection.execute(
        "INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)"
        " VALUES (%s, %s, false, %s, %s, %s)",
        [f"key_{secret[:12]}", merchant_id, hash_token(token), sorted(ALL_SCOPES), CURRENT_API_VERSION],
    )
    return ApiKey(merchant_id=merchant_id, livemode=False, token=token)
