"""Connections: lost ones are replaced, rejected credentials are detected, and what was not started gets 503."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payments.cli.migrate import MigrationInputs, migrate
from payments.domain.outcomes import Result
from payments.processors.base import Call
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database, DatabaseUnavailable
from tests.service.api import Client, context_with, sandbox_context
from tests.service.fixtures import RUN, ApiKey, Postgres
from tests.service.postgres_server import FAST, PostgresServer
from tests.waiting import wait_until


def end_connections(postgres: Postgres) -> None:
    """What a failover does to every connection."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'payments_service'"
        )


def count(postgres: Postgres, table: str) -> int:
    with psycopg.connect(postgres.superuser) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(autouse=True)
def _heal(_pool: Database, _journal_pool: Database) -> Iterator[None]:
    """The pools that all tests share have no dead connection when the next test begins."""
    yield
    for shared in (_pool, _journal_pool):
        shared._pool.check()


@pytest.fixture
def own(postgres: Postgres) -> Iterator[Database]:
    database = Database(postgres.app, size=2, timeout=2.0)
    yield database
    database.close()


@pytest.fixture
def impatient(postgres: Postgres) -> Iterator[Database]:
    """For tests that wait until there is no connection."""
    database = Database(postgres.app, size=2, timeout=1.0)
    yield database
    database.close()


def test_uncommitted_changes_are_rolled_back(own: Database, postgres: Postgres) -> None:
    with own.transaction() as tx:
        tx.execute("INSERT INTO merchants (id, name) VALUES ('mer_x', 'x')")
    assert count(postgres, "merchants") == 0
    with own.transaction() as tx:
        tx.execute("INSERT INTO merchants (id, name) VALUES ('mer_x', 'x')")
        tx.commit()
    assert count(postgres, "merchants") == 1


def test_a_dead_idle_connection_is_replaced_before_use(
    own: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own.is_ready()
    monkeypatch.setattr("payments.repositories.database._CHECK_AFTER_IDLE", 0.0)
    end_connections(postgres)
    for _ in range(4):
        with own.transaction() as tx:
            tx.execute("SELECT 1")


def test_connections_that_were_ended_serve_no_request(
    database: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    client = Client(sandbox_context(database, journal), key)
    client.json(client.create())
    end_connections(postgres)
    assert {client.create().status_code for _ in range(40)} == {201}


class Failing(SandboxProcessor):
    """Loses every database connection between the call and the recording of its outcome."""

    postgres: Postgres

    def authorize(self, call: Call) -> Result:
        result = super().authorize(call)
        end_connections(self.postgres)
        return result


def test_an_outcome_is_recorded_across_a_failover(
    own: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    processor = Failing(journal, public_base_url="https://x")
    processor.postgres = postgres
    client = Client(context_with(own, processor), key)
    response = client.create()
    assert (response.status_code, response.get_json()["status"]) == (201, "succeeded")
    assert count(postgres, "ledger_transfers") == 2


class Gone(SandboxProcessor):
    """The database is gone by the time the processor responds."""

    database: Database

    def authorize(self, call: Call) -> Result:
        result = super().authorize(call)
        self.database.close()
        return result


def test_an_outcome_that_cannot_be_recorded_is_open(
    own: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    processor = Gone(journal, public_base_url="https://x")
    processor.database = own
    response = Client(context_with(own, processor), key).create(key="same")
    assert (response.status_code, response.get_json()["status"]) == (202, "processing")
    assert count(postgres, "attempts") == 1


def test_an_exhausted_pool_refuses_before_anything_starts(
    impatient: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    client = Client(sandbox_context(impatient, journal), key)
    client.json(client.create())
    with impatient.transaction(), impatient.transaction():
        with pytest.raises(DatabaseUnavailable), impatient.transaction():
            pass
        assert not impatient.is_ready()
        response = client.create(key="new")
    assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
    assert response.headers["Retry-After"]
    assert count(postgres, "payments") == 1
    assert client.create(key="new").status_code == 201


def test_rejected_credentials_are_detected(postgres: Postgres) -> None:
    database = Database(make_conninfo(postgres.app, password="rotated-away"), size=1, timeout=0.1)
    try:
        assert database.credentials_rejected.wait(10)
        assert not database.is_ready()
    finally:
        database.close()


def test_an_unreachable_server_is_not_rejected_credentials() -> None:
    database = Database("host=/nowhere", size=1, timeout=0.1)
    try:
        assert not database.credentials_rejected.wait(0.5)
    finally:
        database.close()


def become_readers(database: Database) -> None:
    """What a failover makes of connections to the former writer that it does not end."""
    with database.transaction() as one, database.transaction() as other:
        for tx in (one, other):
            tx.execute("SET default_transaction_read_only = on")
            tx.commit()


def test_a_writer_that_became_a_reader_is_abandoned(own: Database) -> None:
    pids = []

    def write_to_a_reader() -> None:
        with own.transaction() as tx:
            pids.append(tx.info.backend_pid)
            tx.execute("INSERT INTO merchants (id, name) VALUES ('mer_x', 'x')")

    become_readers(own)
    with pytest.raises(DatabaseUnavailable):
        write_to_a_reader()
    for _ in range(3):
        with own.transaction() as tx:
            assert tx.info.backend_pid not in pids


def test_a_request_on_a_reader_gets_503_and_can_be_retried(
    own: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    client = Client(sandbox_context(own, journal), key)
    client.json(client.create())
    become_readers(own)
    statuses = [client.create(key="same").status_code for _ in range(4)]
    assert set(statuses[:3]) == {503, 201}, "one response for each connection to the former writer"
    assert statuses[3] == 201
    assert count(postgres, "payments") == 2


class Demoted(SandboxProcessor):
    """The writer becomes a reader between the call and the recording of its outcome."""

    database: Database

    def authorize(self, call: Call) -> Result:
        result = super().authorize(call)
        become_readers(self.database)
        return result


def test_an_outcome_is_recorded_on_the_new_writer(
    own: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    processor = Demoted(journal, public_base_url="https://x")
    processor.database = own
    response = Client(context_with(own, processor), key).create()
    assert (response.status_code, response.get_json()["status"]) == (201, "succeeded")


def test_rotated_credentials_are_detected_on_reconnecting(impatient: Database, postgres: Postgres) -> None:
    """Open connections keep working; the first new one shows that the process must be replaced."""
    assert impatient.is_ready()
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("ALTER ROLE payments_service PASSWORD 'rotated'")
        try:
            assert impatient.is_ready()
            assert not impatient.credentials_rejected.is_set()
            end_connections(postgres)
            assert not impatient.is_ready()
            assert impatient.credentials_rejected.wait(10)
        finally:
            connection.execute("ALTER ROLE payments_service PASSWORD 'app-password'")


def test_the_service_recovers_from_a_database_restart() -> None:
    server = PostgresServer(RUN, FAST)
    database: Any = None
    try:
        server.start()
        migrate(MigrationInputs(), conninfo=server.conninfo)
        database = Database(server.conninfo, size=2, timeout=1.0)
        assert database.is_ready()
        server.halt()
        assert not database.is_ready()
        server.start()
        wait_until(database.is_ready, "a connection to the restarted server")
    finally:
        if database is not None:
            database.close()
        server.stop()
