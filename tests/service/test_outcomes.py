"""The outcome table of the API: one case a row, each checked from outside and in the ledger."""

from dataclasses import dataclass

import psycopg
import pytest

from payments.repositories.database import Database
from payments.services.recovery import recover_due
from tests.service.api import Client, sandbox_context
from tests.service.conftest import ApiKey, Postgres

#: 2.9 % of 1000.
CAPTURED = [("processor_receivable", "merchant_payable", 1000), ("merchant_payable", "platform_fees", 29)]
REFUNDED = ("merchant_payable", "processor_receivable", 1000)


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def settle_open_attempts(client: Client, postgres: Postgres) -> None:
    """Make every open attempt due, let the sandbox decide what it decides later, and let the worker look."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
        connection.execute("UPDATE sandbox_journal SET settles_at = now() WHERE settles_at IS NOT NULL")
    recover_due(client.context)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What creating a payment with ``token`` answers, and what it leads to."""

    token: str
    capture_method: str = "automatic"
    status: int
    payment: str
    events: tuple[str, ...]
    ledger: tuple[tuple[str, str, int], ...] = ()
    #: After the worker has looked, for outcomes that were open.
    settled: str | None = None
    settled_events: tuple[str, ...] = ()
    settled_ledger: tuple[tuple[str, str, int], ...] = ()
    settled_status: int | None = None


CREATE = {
    "automatic, approved": Row(
        token="tok_visa", status=201, payment="succeeded", events=("payment.succeeded",), ledger=tuple(CAPTURED)
    ),
    "manual, approved": Row(
        token="tok_visa",
        capture_method="manual",
        status=201,
        payment="requires_capture",
        events=("payment.authorized",),
    ),
    "3-D Secure": Row(token="tok_3ds", status=201, payment="requires_action", events=("payment.requires_action",)),
    "declined": Row(token="tok_declined", status=402, payment="failed", events=("payment.failed",)),
    "not enough money": Row(token="tok_insufficient_funds", status=402, payment="failed", events=("payment.failed",)),
    "surely not done": Row(token="tok_processor_error", status=402, payment="failed", events=("payment.failed",)),
    "unknown, then approved": Row(
        token="tok_lost_approved",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="succeeded",
        settled_events=("payment.processing", "payment.succeeded"),
        settled_ledger=tuple(CAPTURED),
        settled_status=201,
    ),
    "unknown, then declined": Row(
        token="tok_lost_declined",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="failed",
        settled_events=("payment.processing", "payment.failed"),
        settled_status=402,
    ),
    "pending, then approved": Row(
        token="tok_pending_approved",
        capture_method="manual",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="requires_capture",
        settled_events=("payment.processing", "payment.authorized"),
        settled_status=201,
    ),
    "pending, then declined": Row(
        token="tok_pending_declined",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="failed",
        settled_events=("payment.processing", "payment.failed"),
        settled_status=402,
    ),
}


@pytest.mark.parametrize("row", CREATE.values(), ids=CREATE)
def test_create(client: Client, postgres: Postgres, row: Row) -> None:
    answer = client.create(row.token, key="one", capture_method=row.capture_method)
    assert answer.status_code == row.status, answer.text
    body = answer.get_json()
    payment_id = (body["payment"] if row.status == 402 else body)["id"]
    assert client.payment(payment_id)["status"] == row.payment
    assert client.event_types(payment_id) == list(row.events)
    assert client.entries(payment_id) == list(row.ledger)
    replay = client.create(row.token, key="one", capture_method=row.capture_method)
    assert (replay.status_code, replay.headers["Idempotency-Replayed"]) == (row.status, "true")
    assert replay.data == answer.data
    if row.settled:
        settle_open_attempts(client, postgres)
        assert client.payment(payment_id)["status"] == row.settled
        assert client.event_types(payment_id) == list(row.settled_events)
        assert client.entries(payment_id) == list(row.settled_ledger)
        replay = client.create(row.token, key="one", capture_method=row.capture_method)
        assert replay.status_code == row.settled_status
