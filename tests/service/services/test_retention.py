"""Retention, by the database's clock: final responses for 72 hours, processors' events for 30 days."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from payments.processors.inbound import ProcessorEvent
from payments.repositories.database import Database
from payments.services import housekeeping, inbox
from tests.service.api import Client, recover_due, sandbox_context
from tests.service.fixtures import ApiKey, Postgres


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def execute(postgres: Postgres, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def age(postgres: Postgres, hours: float) -> None:
    """Let time pass for every key."""
    execute(postgres, "UPDATE idempotency_keys SET expires_at = expires_at - %s", timedelta(hours=hours))


def test_a_final_response_is_kept_for_72_hours(client: Client, postgres: Postgres) -> None:
    first = client.create(key="same")
    age(postgres, 71.9)
    housekeeping.delete_expired_keys(client.context)
    assert client.create(key="same").data == first.data
    age(postgres, 0.2)
    assert housekeeping.delete_expired_keys(client.context) is True
    assert housekeeping.delete_expired_keys(client.context) is False
    assert execute(postgres, "SELECT count(*) FROM idempotency_keys") == [(0,)]


def test_an_open_key_does_not_expire(client: Client, postgres: Postgres) -> None:
    client.create("tok_lost_approved", key="open")
    execute(postgres, "UPDATE idempotency_keys SET created_at = created_at - interval '1 year'")
    housekeeping.delete_expired_keys(client.context)
    assert execute(postgres, "SELECT expires_at FROM idempotency_keys") == [(None,)]
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    assert recover_due(client.context)
    ((left,),) = execute(postgres, "SELECT expires_at - now() FROM idempotency_keys")
    assert timedelta(hours=71) < left <= timedelta(hours=72)
    housekeeping.delete_expired_keys(client.context)
    assert client.create("tok_lost_approved", key="open").status_code == 201


def test_a_wrong_worker_clock_deletes_nothing_early(client: Client, postgres: Postgres) -> None:
    client.create(key="same")
    wrong = replace(client.context, now=lambda: datetime.now(UTC) + timedelta(days=365))
    assert housekeeping.delete_expired_keys(wrong) is False
    assert execute(postgres, "SELECT count(*) FROM idempotency_keys") == [(1,)]


def test_processor_events_are_kept_for_30_days(client: Client, postgres: Postgres) -> None:
    for name in ("old", "new"):
        inbox.receive(client.context, "sandbox", ProcessorEvent(event_id=name, type="x", livemode=False, references=()))
    execute(postgres, "UPDATE processor_inbox SET received_at = now() - interval '29 days' WHERE event_id = 'new'")
    execute(postgres, "UPDATE processor_inbox SET received_at = now() - interval '31 days' WHERE event_id = 'old'")
    assert inbox.clean_up(client.context) is True
    assert execute(postgres, "SELECT event_id FROM processor_inbox") == [("new",)]
    assert inbox.clean_up(client.context) is False
