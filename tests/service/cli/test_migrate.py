"""`payments migrate`: safe at every start, by many at once, with an older and a newer schema."""

import logging
import shutil
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payments.cli.migrate import LOCK_TIMEOUT, MigrationError, MigrationInputs, connect, migrate
from payments.repositories.database import LONGEST_LOCK_WAIT, Database
from payments.repositories.schema import MIGRATION_LOCK, MIGRATIONS, known_versions
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import Postgres, make_database, make_key

INPUTS = MigrationInputs(
    app_user="payments_service", app_password="app-password", smoke_key_id="smoketest", smoke_key_secret="s" * 43
)


@pytest.fixture
def empty(postgres_server: str, request: pytest.FixtureRequest) -> Postgres:
    return make_database(postgres_server, request.node.name[:60])


def test_migrates_once(empty: Postgres) -> None:
    assert migrate(INPUTS, conninfo=empty.owner) is True
    assert migrate(INPUTS, conninfo=empty.owner) is False


def test_concurrent_migrators_migrate_once(empty: Postgres) -> None:
    failures: list[Exception] = []

    def run() -> None:
        try:
            migrate(INPUTS, conninfo=empty.owner)
        except (MigrationError, psycopg.Error) as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with psycopg.connect(empty.owner) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_newer_schema_is_left_alone(empty: Postgres) -> None:
    migrate(INPUTS, conninfo=empty.owner)
    with psycopg.connect(empty.owner) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from-the-future'")
    assert migrate(INPUTS, conninfo=empty.owner) is False
    with psycopg.connect(empty.owner) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("from-the-future",)


def test_only_the_hash_of_the_smoke_key_is_stored(empty: Postgres) -> None:
    migrate(INPUTS, conninfo=empty.owner)
    with psycopg.connect(empty.owner) as connection:
        row = connection.execute("SELECT api_keys::text FROM api_keys").fetchone()
    assert row is not None
    assert "s" * 43 not in row[0]


def test_stores_a_rotated_smoke_key(empty: Postgres) -> None:
    migrate(INPUTS, conninfo=empty.owner)
    rotated = MigrationInputs(smoke_key_id="smoketest", smoke_key_secret="t" * 43)
    assert migrate(rotated, conninfo=empty.owner) is True
    assert migrate(rotated, conninfo=empty.owner) is False


def test_a_new_smoke_key_id_revokes_the_old_key(
    empty: Postgres,
) -> None:
    migrate(INPUTS, conninfo=empty.owner)
    migrate(MigrationInputs(smoke_key_id="another", smoke_key_secret="t" * 43), conninfo=empty.owner)
    with psycopg.connect(empty.owner) as connection:
        keys = connection.execute("SELECT id, revoked_at IS NULL FROM api_keys ORDER BY created_at").fetchall()
        acts = connection.execute("SELECT actor, action, subject FROM audit_log ORDER BY id").fetchall()
    assert keys == [("key_smoketest", False), ("key_another", True)]
    assert acts == [
        ("migrate", "api_key.create", "key_smoketest"),
        ("migrate", "api_key.create", "key_another"),
        ("migrate", "api_key.revoke", "key_smoketest"),
    ]


def test_rejects_an_invalid_smoke_key(empty: Postgres) -> None:
    with pytest.raises(MigrationError, match="SMOKE_KEY"):
        migrate(MigrationInputs(smoke_key_id="smoke", smoke_key_secret="short"), conninfo=empty.owner)


def test_rejects_half_a_pair_of_variables() -> None:
    with pytest.raises(MigrationError, match="APP_DB_USER and APP_DB_PASSWORD"):
        MigrationInputs.from_environment({"APP_DB_USER": "app"})


def test_the_application_cannot_change_the_schema(migrated: Postgres) -> None:
    with psycopg.connect(migrated.app) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE mine (id int)")


APPEND_ONLY = ("ledger_transfers", "ledger_seals", "events", "audit_log")


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET created_at = now()", "DELETE FROM {}", "TRUNCATE {} CASCADE"],
    ids=["update", "delete", "truncate"],
)
@pytest.mark.parametrize("role", ["app", "owner"])
def test_append_only_tables(migrated: Postgres, table: str, statement: str, role: str) -> None:
    """The application lacks the privilege; the owner has it and is stopped by the trigger."""
    with psycopg.connect(getattr(migrated, role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.format(table))


def test_gives_up_on_an_unreachable_database() -> None:
    waits: list[float] = []
    with pytest.raises(MigrationError, match="Check PGHOST"):
        connect(make_conninfo(host="127.0.0.1", port=1), deadline=0.5, sleep=waits.append)
    assert waits == [0.2, 0.4] or waits == [0.2]


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of a release that adds a column to the table of payments, which locks it against everything."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "versions" / "9998_next.py").write_text(
        "from alembic import op\n\nrevision = '9998'\n"
        f"down_revision = '{known_versions()[-1]}'\n\n\n"
        "def upgrade() -> None:\n    op.execute('ALTER TABLE payments ADD COLUMN added text')\n"
    )
    monkeypatch.setattr("payments.repositories.schema.MIGRATIONS", folder)
    monkeypatch.setattr("payments.cli.alembic_upgrade.MIGRATIONS", folder)
    return "9998"


def test_payments_do_not_wait_for_a_migration(
    empty: Postgres,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long reader keeps a migration from its lock; whatever comes next waits behind the migration's request."""
    monkeypatch.setattr("payments.cli.migrate.LOCK_TIMEOUT", 300)
    monkeypatch.setattr("payments.cli.migrate.LOCK_PAUSE", 0.1)
    migrate(INPUTS, conninfo=empty.owner)
    database, journal = Database(empty.app, size=4), Database(empty.app, size=4)
    client = Client(sandbox_context(database, journal), make_key(empty, "mer_alice"))
    version = request.getfixturevalue("next_release")
    migrated: list[bool] = []
    migration = threading.Thread(target=lambda: migrated.append(migrate(INPUTS, conninfo=empty.owner)))

    def retries() -> int:
        return caplog.text.count("a table is locked")

    try:
        client.json(client.create())
        with psycopg.connect(empty.superuser) as reader, caplog.at_level(logging.WARNING, "payments.migration"):
            reader.execute("SELECT count(*) FROM payments")
            migration.start()
            statuses = [client.create().status_code]
            while retries() < 2 and migration.is_alive():
                statuses.append(client.create().status_code)
        migration.join(60)
        assert set(statuses) == {201}
        assert migrated == [True]
        assert client.create().status_code == 201
    finally:
        migration.join(60)
        database.close()
        journal.close()
    with psycopg.connect(empty.owner) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (version,)


def test_a_migration_gives_up_its_lock_before_payments_do() -> None:
    """Later than PostgreSQL looks for an autovacuum in the way, which it ends after `deadlock_timeout`, a second."""
    assert 1_000 < LOCK_TIMEOUT < LONGEST_LOCK_WAIT


def test_gives_up_waiting_for_a_table_lock(empty: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.cli.migrate.LOCK_TIMEOUT", 100)
    monkeypatch.setattr("payments.cli.migrate.LOCK_DEADLINE", 0.5)
    monkeypatch.setattr("payments.cli.migrate.LOCK_PAUSE", 0.1)
    migrate(INPUTS, conninfo=empty.owner)
    rotated = MigrationInputs(smoke_key_id="smoketest", smoke_key_secret="t" * 43)
    with psycopg.connect(empty.owner) as holder:
        holder.execute("LOCK TABLE api_keys IN SHARE MODE")
        with pytest.raises(MigrationError, match="pg_stat_activity"):
            migrate(rotated, conninfo=empty.owner)


def test_waiting_for_another_migration_is_bounded(empty: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.cli.migrate.MIGRATOR_TIMEOUT", 100)
    with psycopg.connect(empty.owner) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        with pytest.raises(MigrationError, match="Another migration holds the lock"):
            migrate(INPUTS, conninfo=empty.owner)
    assert migrate(INPUTS, conninfo=empty.owner)


def test_an_older_release_provisions_on_a_newer_schema(empty: Postgres) -> None:
    migrate(MigrationInputs(), conninfo=empty.owner)
    with psycopg.connect(empty.owner) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of-tomorrow'")
    assert migrate(INPUTS, conninfo=empty.owner)
    assert not migrate(INPUTS, conninfo=empty.owner), "nothing is left to do"
    with psycopg.connect(empty.owner) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("of-tomorrow",)]


def test_creates_a_role_that_is_declared_later(empty: Postgres) -> None:
    migrate(MigrationInputs(), conninfo=empty.owner)
    declared = MigrationInputs(app_user="declared_later", app_password="a" * 20)
    assert migrate(declared, conninfo=empty.owner)
    with psycopg.connect(empty.owner, user="declared_later") as connection:
        assert connection.execute("SELECT count(*) FROM payments").fetchone() == (0,)
    assert not migrate(declared, conninfo=empty.owner), "nothing is left to do"
