"""Rows for tests that are not about creating them."""

import json
from datetime import UTC, datetime

import psycopg

from payments.domain.ids import Prefix, new_id
from tests.service.fixtures import Postgres


def add_event(postgres: Postgres, merchant_id: str, *, livemode: bool = False, type: str = "payment.succeeded") -> str:  # noqa: A002 - the column's name
    """Insert and commit a payment with one event; return the event's ID."""
    with psycopg.connect(postgres.superuser) as connection:
        return add_event_in(connection, merchant_id, livemode=livemode, type=type)


def add_event_in(
    connection: psycopg.Connection,
    merchant_id: str,
    *,
    livemode: bool = False,
    type: str = "payment.succeeded",  # noqa: A002 - the column's name
) -> str:
    """Insert a payment with one event in the test's own transaction; return the event's ID."""
    now = datetime.now(UTC)
    payment_id, event_id = new_id(Prefix.PAYMENT, now), new_id(Prefix.EVENT, now)
    connection.execute("INSERT INTO merchants (id, name) VALUES (%s, 'M') ON CONFLICT DO NOTHING", [merchant_id])
    connection.execute(
        "INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,"
        " fee_basis_points, processor, api_version, created_at)"
        " VALUES (%s, %s, %s, 'processing', 100, 'EUR', 'automatic', 'tok_visa', 290, 'sandbox', '2026-11-01', %s)",
        [merchant_id, livemode, payment_id, now],
    )
    body = json.dumps({"id": event_id, "object": "event", "type": type, "payment": payment_id, "sequence": 1})
    connection.execute(
        "INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body, created_at)"
        " VALUES (%s, %s, %s, %s, %s, 1, '2026-11-01', %s, clock_timestamp())",
        [event_id, merchant_id, livemode, type, payment_id, body],
    )
    return event_id
