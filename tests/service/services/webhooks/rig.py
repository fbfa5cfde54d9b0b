"""What the tests of webhooks share: two merchants, an endpoint, and the passing of time."""

import json
from datetime import timedelta
from typing import Any

import psycopg

from payments.domain.api_keys import ALL_SCOPES, Principal
from payments.services import webhook_endpoints
from payments.services.context import Context
from payments.services.idempotency import IdempotentRequest
from payments.services.webhook_delivery import fan_out
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres

ALICE = Principal(merchant_id="mer_alice", livemode=False, key_id="key_a", scopes=ALL_SCOPES, api_version="2026-11-01")
BOB = Principal(merchant_id="mer_bob", livemode=False, key_id="key_b", scopes=ALL_SCOPES, api_version="2026-11-01")


_requests = iter(range(10**6))


def add_merchant(connection: psycopg.Connection, principal: Principal) -> None:
    """Add the merchant of ``principal``, and its key."""
    connection.execute("INSERT INTO merchants (id, name) VALUES (%s, 'M')", [principal.merchant_id])
    connection.execute(
        "INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)"
        " VALUES (%(key_id)s, %(merchant_id)s, %(livemode)s, sha256('x'), %(scopes)s, %(api_version)s)",
        {**vars(principal), "scopes": sorted(principal.scopes)},
    )


def new_request() -> IdempotentRequest:
    """A request with an Idempotency-Key of its own."""
    number = next(_requests)
    return IdempotentRequest(key_hash=number.to_bytes(32), fingerprint=bytes(32), request_id="req_1")


def register(context: Context, url: str, principal: Principal = ALICE, **changes: object) -> dict[str, Any]:
    """Create an endpoint that wants all events, and return its representation."""
    values: dict[str, Any] = {"url": url, "description": None, "event_types": ["*"], **changes}
    found: dict[str, Any] = json.loads(webhook_endpoints.create(context, principal, new_request(), **values).body)
    return found


def run(context: Context, deliverer: DeliveryPool) -> None:
    """What the worker does until there is nothing due."""
    while fan_out(context):
        pass
    while deliverer.run() or not deliverer.wait_until_idle():
        deliverer.wait_until_idle()


def messages(postgres: Postgres) -> list[tuple[str, str, int]]:
    """Every message as (event, status, attempts), oldest first."""
    with psycopg.connect(postgres.superuser) as connection:
        return connection.execute("SELECT event_id, status, attempts FROM webhook_messages ORDER BY id").fetchall()


def make_due(postgres: Postgres) -> None:
    """Let every pending message be due now."""
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET next_attempt_at = now() WHERE status = 'pending'")


def let_pass(postgres: Postgres, time: timedelta) -> None:
    """Let ``time`` pass for what is due later."""
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET next_attempt_at = next_attempt_at - %s", [time])


def lose_connection(*_: object) -> None:
    """Fail as a query does whose connection is gone."""
    raise psycopg.OperationalError("gone")
