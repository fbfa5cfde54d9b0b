"""A release never uses an older schema than its own, but starts on a newer one, or when the database is down."""

import logging
import threading
from collections.abc import Iterator

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo

from payments.cli.alembic_upgrade import alembic_config
from payments.cli.main import main
from payments.cli.migrate import MigrationInputs, migrate
from payments.repositories.database import EXIT_DATABASE_UNUSABLE, Database, DatabaseUnavailable, require_current_schema
from payments.repositories.schema import SchemaOutdated, known_versions
from payments.server import https_server
from payments.server import main as server
from payments.worker import main as worker
from tests.service.fixtures import Postgres, make_database

INPUTS = MigrationInputs(app_user="payments_service", app_password="app-password")
UNREACHABLE = make_conninfo(host="127.0.0.1", port=1)
WAIT = 30.0


@pytest.fixture
def own(postgres_server: str, request: pytest.FixtureRequest) -> Postgres:
    """A database that the test may spoil, with this release's schema."""
    postgres = make_database(postgres_server, request.node.name[:60])
    migrate(INPUTS, conninfo=postgres.owner)
    return postgres


def be_of(postgres: Postgres, version: str) -> None:
    with psycopg.connect(postgres.owner) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [version])


@pytest.fixture
def opened() -> Iterator[list[Database]]:
    found: list[Database] = []
    yield found
    for database in found:
        database.close()


def test_migrations_are_named_after_their_versions() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    known = known_versions()
    assert set(known) == {script.revision for script in scripts.walk_revisions()}
    assert scripts.get_heads() == [known[-1]]


def test_a_release_starts_on_its_own_or_a_newer_schema(own: Postgres) -> None:
    require_current_schema(own.app, name="test")
    be_of(own, "9999")
    require_current_schema(own.app, name="test")


@pytest.mark.parametrize("version", known_versions()[:-1])
def test_a_release_does_not_start_on_an_older_schema(own: Postgres, version: str) -> None:
    be_of(own, version)
    with pytest.raises(SchemaOutdated, match=f"version is {version}; this release needs {known_versions()[-1]}"):
        require_current_schema(own.app, name="test")


def test_a_schema_with_an_unreadable_version_is_older(own: Postgres) -> None:
    with psycopg.connect(own.owner) as connection:
        connection.execute("REVOKE SELECT ON alembic_version FROM payments_app")
    with pytest.raises(SchemaOutdated, match="unreadable by the application"):
        require_current_schema(own.app, name="test")


def test_an_empty_database_is_older(own: Postgres) -> None:
    with psycopg.connect(own.owner) as connection:
        connection.execute("DROP TABLE alembic_version")
    with pytest.raises(SchemaOutdated, match="version is none"):
        require_current_schema(own.app, name="test")


def test_a_database_that_is_down_does_not_prevent_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """During a failover new tasks must start."""
    require_current_schema(UNREACHABLE, name="test")
    assert "schema version not known yet" in caplog.text


def test_no_connection_is_used_before_the_schema_is_current(own: Postgres, opened: list[Database]) -> None:
    """For a process that started while the database was silent."""
    be_of(own, known_versions()[-2])
    database = Database(own.app, size=2, timeout=1.0)
    opened.append(database)
    assert database.schema_outdated.wait(WAIT)
    with pytest.raises(DatabaseUnavailable), database.transaction():
        pass
    assert not database.credentials_rejected.is_set()


def test_a_current_schema_is_checked_once(own: Postgres, opened: list[Database]) -> None:
    """As little as by the release that runs during the migration of the next one."""
    database = Database(own.app, size=4, timeout=WAIT)
    opened.append(database)
    database._pool.wait(WAIT)  # the first connections are made at the same time, and each looks
    with database.transaction() as tx:
        assert tx.execute("SELECT 1 AS one").fetchone() == {"one": 1}
        with psycopg.connect(own.owner) as connection:
            connection.execute("REVOKE SELECT ON alembic_version FROM payments_app")
        with database.transaction(), database.transaction() as third:
            assert third.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    assert not database.schema_outdated.is_set()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_exits_before_it_is_healthy(
    own: Postgres,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(*_: object) -> int:
        raise AssertionError("it started")

    # The command configures logging for this test's output, which is closed afterwards.
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(server, "run", never)
    monkeypatch.setattr(worker, "run", never)
    for name, value in psycopg.conninfo.conninfo_to_dict(own.app).items():
        variable = {"dbname": "PGDATABASE"}.get(name, f"PG{name.upper()}")
        monkeypatch.setenv(variable, str(value))
    be_of(own, known_versions()[-2])
    assert main([command]) == EXIT_DATABASE_UNUSABLE
    written = capsys.readouterr().out
    assert f"not started: The schema version is {known_versions()[-2]}" in written
    assert "`payments migrate`, which runs before this process, must have failed" in written


def test_an_api_that_finds_out_later_exits(own: Postgres, opened: list[Database]) -> None:
    be_of(own, known_versions()[-2])
    database, ended = Database(own.app, size=1, timeout=1.0), threading.Event()
    opened.append(database)
    https_server.end_when(database.schema_outdated, "the schema is older", ended.set)
    assert ended.wait(WAIT)
