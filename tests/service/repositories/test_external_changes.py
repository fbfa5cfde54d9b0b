"""What the schema promises about changes made elsewhere."""

from typing import Any

import psycopg
import pytest

from payments.domain.ids import Prefix, new_id
from payments.repositories import external_attempts
from payments.repositories.database import Database
from payments.services import inbox
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres


@pytest.fixture
def refund(database: Database, journal: Database, key: ApiKey) -> dict[str, Any]:
    """A refund of ours, which the processor calls by its journal's reference."""
    client = Client(sandbox_context(database, journal), key)
    payment = client.json(client.create())["id"]
    return client.json(client.post(f"/v1/payments/{payment}/refunds", {"amount": 100}))


def test_a_processors_refund_is_stored_once(
    refund: dict[str, Any], database: Database, key: ApiKey, postgres: Postgres
) -> None:
    """Whoever stores it first, as ours or as external."""
    with psycopg.connect(postgres.superuser) as connection:
        ((reference, now),) = connection.execute(
            "SELECT processor_reference, now() FROM attempts WHERE kind = 'refund'"
        ).fetchall()
    with database.tenant_transaction(key) as tx, pytest.raises(psycopg.errors.UniqueViolation):
        external_attempts.insert(
            tx,
            key,
            attempt_id=new_id(Prefix.ATTEMPT, now),
            payment_id=refund["payment"],
            operation_id=refund["id"],
            kind="refund",
            processor="sandbox",
            reference=reference,
        )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE attempts SET kind = 'dispute' WHERE kind = 'refund'", psycopg.errors.CheckViolation),
        ("UPDATE attempts SET kind = 'refund' WHERE kind = 'payment'", psycopg.errors.CheckViolation),
        ("UPDATE attempts SET kind = 'loan' WHERE kind = 'payment'", psycopg.errors.CheckViolation),
        (
            """INSERT INTO disputes (merchant_id, livemode, id, payment_id, status, amount, currency, processor,
            processor_reference) SELECT merchant_id, livemode, 'dp_1', id, 'won', 1, 'EUR', 'x', 'y' FROM payments""",
            psycopg.errors.NotNullViolation,
        ),
    ],
    ids=["operation", "no operation", "other kind", "no attempt"],
)
def test_wrong_rows_are_refused(
    refund: dict[str, Any],
    postgres: Postgres,
    change: str,
    error: type[psycopg.Error],
) -> None:
    with psycopg.connect(postgres.app) as connection, pytest.raises(error):
        connection.execute(change)


def test_the_previous_releases_events_are_due(database: Database, journal: Database, postgres: Postgres) -> None:
    """During a deployment its api still stores events, and marks those about known objects as handled."""
    with psycopg.connect(postgres.app) as connection:
        connection.execute(
            "INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references, handled_at)"
            " VALUES ('stripe', 'evt_1', false, 'refund.created', '{re_1}', now())"
        )
    (group,) = inbox.claim_due(sandbox_context(database, journal), "stripe", limit=10)
    assert group.event_ids == ["evt_1"]
