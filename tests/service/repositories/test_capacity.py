"""What the capacity model says about the service, measured: connections of a task, bytes of a payment."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from payments.core.settings import Settings
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database, DatabaseUnavailable
from payments.services.context import Context
from payments.services.wiring import make_context
from stages.config import capacity_model as model
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres

_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}


@pytest.fixture
def task(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """The context of an api task with the default settings."""
    for name, value in conninfo_to_dict(postgres.app).items():
        if name in _VARIABLES:
            monkeypatch.setenv(_VARIABLES[name], str(value))
    context = make_context(Settings(), name="counted", pool_timeout=1.0)
    yield context
    context.close()


def take_all(database: Database, held: ExitStack) -> None:
    """Take connections until the pool has no more."""
    with contextlib.suppress(DatabaseUnavailable):
        for _ in range(1_000):
            held.enter_context(database.transaction()).execute("SELECT 1")


def test_a_task_opens_the_connections_that_the_model_counts(task: Context, postgres: Postgres) -> None:
    sandbox = task.processors["sandbox"]
    assert isinstance(sandbox, SandboxProcessor)
    with ExitStack() as held, psycopg.connect(postgres.superuser) as connection:
        take_all(task.database, held)
        take_all(sandbox._database, held)
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'payments-counted%'"
        ).fetchone()
    assert row == (model.TASK_CONNECTIONS,)


def stored_bytes(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace AND relname <> 'sandbox_journal'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_payment_takes_no_more_bytes_than_the_model_says(
    postgres: Postgres, key: ApiKey, database: Database, journal: Database
) -> None:
    """Indexes and the whole pages of tables included; whoever makes rows smaller corrects the model below a half."""
    shop, count = Client(sandbox_context(database, journal), key), 400
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("VACUUM FULL")  # what earlier tests left free would be filled first
        before = stored_bytes(connection)
        for _ in range(count):
            shop.json(shop.create())
        taken = (stored_bytes(connection) - before) / count
    assert model.STORED_BYTES / 2 < taken < model.STORED_BYTES * 1.2
