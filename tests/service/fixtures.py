"""A real PostgreSQL for every test process, migrated once and emptied after every test that uses it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payments.cli.migrate import MigrationInputs, migrate
from payments.domain.api_keys import ALL_SCOPES, Scope, compose, hash_token, new_secret
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.repositories.database import Database
from tests.service.postgres_server import PostgresServer

#: Inside the checkout, like everything that tests write.
RUN = Path(__file__).parents[2] / ".run" / "tests"
_KEPT = {"alembic_version", "cursors"}
#: Rows of one test above which the empty pages that they leave cost later tests more than a VACUUM.
_MANY = 5000
#: Connections that nobody uses at the moment, by connection string: making one costs twenty times as much as an INSERT.
_IDLE: dict[str, list[psycopg.Connection]] = {}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """Connection strings of one database: `superuser` prepares and inspects, `owner` migrates, `app` is the service."""

    superuser: str
    owner: str
    app: str

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Execute a statement of the superuser, commit, and return its rows."""
        idle = _IDLE.setdefault(self.superuser, [])
        while idle:
            connection = idle.pop()
            try:
                return self._execute(connection, statement, parameters)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise  # otherwise the server ended it meanwhile
        return self._execute(psycopg.connect(self.superuser, autocommit=True), statement, parameters)

    def _execute(
        self, connection: psycopg.Connection, statement: str, parameters: tuple[object, ...]
    ) -> list[tuple[Any, ...]]:
        try:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []
        finally:
            if not connection.closed:
                _IDLE[self.superuser].append(connection)

    def empty(self) -> None:
        """Delete every row."""
        with closing(Eraser(self.superuser)) as eraser:
            eraser.run()


def close_idle() -> None:
    """Close the connections that nobody uses."""
    while _IDLE:
        _, connections = _IDLE.popitem()
        for idle in connections:
            idle.close()


def pytest_sessionfinish() -> None:
    """Close what is left of servers that tests have started themselves."""
    close_idle()


class Eraser:
    """Deletes every row, on one connection: making one costs more than the deletions."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection | None = None
        self._deletions = ""

    def run(self) -> None:
        """Delete, after a restart of the server on a new connection."""
        try:
            self._delete()
        except psycopg.OperationalError:
            self.close()
            self._delete()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _delete(self) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(self._conninfo, autocommit=True)
            tables = self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            deletions = [f'DELETE FROM "{name}"' for (name,) in tables if name not in _KEPT]
            # Only a superuser can, in replica mode, where the append-only triggers do not fire.
            self._connection.execute("SET session_replication_role = replica")
            self._deletions = "; ".join([*deletions, "UPDATE cursors SET xid = '0', id = ''"])
        cursor = self._connection.execute(self._deletions)
        deleted = cursor.rowcount
        while cursor.nextset():
            deleted += cursor.rowcount
        if deleted > _MANY:
            self._connection.execute("VACUUM")
            self._connection.execute("SELECT pg_stat_force_next_flush()")  # what it read counts now, not later


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Connection string of a superuser, on this process's own server."""
    server = PostgresServer(RUN)
    try:
        server.start()
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE payments_owner LOGIN CREATEROLE")
        yield server.conninfo
    finally:
        close_idle()
        server.stop()


def make_database(server: str, name: str, *, template: str = "template1") -> Postgres:
    """Create a database owned by `payments_owner`: an empty one, or a copy of ``template``."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" OWNER payments_owner TEMPLATE "{template}"')
    superuser = make_conninfo(server, dbname=name)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA public OWNER TO payments_owner")
    return Postgres(
        superuser=superuser,
        owner=make_conninfo(superuser, user="payments_owner"),
        app=make_conninfo(superuser, user="payments_service", password="app-password"),
    )


def make_migrated_database(server: str, name: str) -> Postgres:
    """Create a database with this release's schema, by `payments migrate`."""
    postgres = make_database(server, name)
    inputs = MigrationInputs(app_user="payments_service", app_password="app-password")
    assert migrate(inputs, conninfo=postgres.owner)
    return postgres


@pytest.fixture(scope="session")
def migrated(postgres_server: str) -> Postgres:
    """A database with this release's schema."""
    return make_migrated_database(postgres_server, "payments")


@pytest.fixture(scope="session")
def _pool(migrated: Postgres) -> Iterator[Database]:
    database = Database(migrated.app, size=16)
    yield database
    database.close()


@pytest.fixture(scope="session")
def _eraser(migrated: Postgres) -> Iterator[Eraser]:
    eraser = Eraser(migrated.superuser)
    yield eraser
    eraser.close()


@pytest.fixture
def postgres(migrated: Postgres, _eraser: Eraser) -> Iterator[Postgres]:
    """Connection strings of a migrated database that is empty before and after the test."""
    yield migrated
    _eraser.run()


@pytest.fixture
def database(postgres: Postgres, _pool: Database) -> Database:
    """The service's connection pool to that database."""
    return _pool


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A merchant's API key as a client has it."""

    merchant_id: str
    livemode: bool
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def make_key(
    postgres: Postgres, merchant_id: str, *, livemode: bool = False, scopes: frozenset[Scope] = ALL_SCOPES
) -> ApiKey:
    """Create a key of ``merchant_id``, and the merchant if necessary."""
    secret = new_secret()
    key_id = secret[:12]
    token = compose(livemode=livemode, key_id=key_id, secret=secret)
    postgres.execute(
        "INSERT INTO merchants (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", merchant_id, merchant_id
    )
    postgres.execute(
        "INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        *(f"key_{key_id}", merchant_id, livemode, hash_token(token), sorted(scopes), CURRENT_API_VERSION),
    )
    return ApiKey(merchant_id=merchant_id, livemode=livemode, token=token)


@pytest.fixture
def key(postgres: Postgres) -> ApiKey:
    """A test-mode key with every scope."""
    return make_key(postgres, "mer_alice")


@pytest.fixture(scope="session")
def _journal_pool(migrated: Postgres) -> Iterator[Database]:
    database = Database(migrated.app, size=8, name="payments-sandbox")
    yield database
    database.close()


@pytest.fixture
def journal(postgres: Postgres, _journal_pool: Database) -> Database:
    """The sandbox processor's connection pool to its journal."""
    return _journal_pool
