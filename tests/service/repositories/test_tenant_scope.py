"""Row-level security: serving one tenant touches no other tenant's rows, whatever conditions a statement lacks."""

import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from payments.domain.tenancy import TenantScope
from payments.repositories.database import Database, DatabaseUnavailable
from payments.repositories.group_commit import GroupCommit
from tests.service.api import Client, recover_due, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key
from tests.service.web.test_route_table import KEYED, Route, _call, _path, client, objects

__all__ = ["client", "objects"]
#: Records that a merchant exists in a mode; not granted to the role that serves merchants.
_NOT_SCOPED = {"merchant_modes"}


@pytest.fixture
def own(postgres: Postgres) -> Iterator[Database]:
    """One connection, so that every transaction follows the one before on it."""
    database = Database(postgres.app, size=1, timeout=5.0)
    yield database
    database.close()


def owned_tables(postgres: Postgres) -> set[str]:
    """Every table with a merchant's rows, found in the catalogue, so that a new one is covered by itself."""
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute(
            "SELECT table_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_name = 'merchant_id'"
        ).fetchall()
    return {name for (name,) in rows} - _NOT_SCOPED


def readable(postgres: Postgres) -> set[str]:
    """Return the tables that the role serving merchants may read."""
    with psycopg.connect(postgres.superuser) as connection:
        return {
            name
            for name in owned_tables(postgres)
            if connection.execute("SELECT has_table_privilege('payments_merchant', %s, 'SELECT')", [name]).fetchone()
            == (True,)
        }


def test_every_table_with_tenant_rows_is_protected(postgres: Postgres) -> None:
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relrowsecurity").fetchall()
        policies = connection.execute(
            "SELECT tablename FROM pg_policies WHERE roles = '{payments_merchant}' AND qual LIKE '%app.livemode%'"
        ).fetchall()
    assert {name for (name,) in rows} == owned_tables(postgres) | {"merchants"}
    assert {name for (name,) in policies} == owned_tables(postgres)


@pytest.fixture
def crowd(postgres: Postgres, database: Database, journal: Database) -> dict[str, ApiKey]:
    """Alice in both modes and Bob, each with a payment and a refund."""
    keys = {
        "alice": make_key(postgres, "mer_alice"),
        "alice live": make_key(postgres, "mer_alice", livemode=True),
        "bob": make_key(postgres, "mer_bob"),
    }
    for key in keys.values():
        shop = Client(sandbox_context(database, journal), key)
        payment_id = shop.json(shop.create())["id"]
        shop.json(shop.post(f"/v1/payments/{payment_id}/refunds", {"amount": 1}))
    return keys


FILLED = {"payments", "operations", "attempts", "idempotency_keys", "events", "ledger_transfers", "api_keys"}


def owners(tx: Any, table: str) -> set[tuple[str, bool]]:
    rows = tx.execute(f"SELECT DISTINCT merchant_id, livemode FROM {table}").fetchall()  # no condition: forgotten
    return {(row["merchant_id"], row["livemode"]) for row in rows}


def test_a_missing_condition_stays_in_scope(crowd: dict[str, ApiKey], own: Database, postgres: Postgres) -> None:
    tables = readable(postgres)
    assert tables >= FILLED
    for key in crowd.values():
        with own.tenant_transaction(key) as tx:
            for table in tables:
                found = owners(tx, table)
                assert found <= {(key.merchant_id, key.livemode)}, table
                assert found or table not in FILLED, table
            assert [row["id"] for row in tx.execute("SELECT id FROM merchants")] == [key.merchant_id]


def test_without_a_tenant_nothing_is_found(crowd: dict[str, ApiKey], own: Database, postgres: Postgres) -> None:
    for after in (False, True):
        if after:
            with own.tenant_transaction(crowd["alice"]) as tx:
                assert owners(tx, "payments")
                tx.commit()
        with own.transaction() as tx:
            tx.execute("SET LOCAL ROLE payments_merchant")
            for table in readable(postgres):
                assert owners(tx, table) == set(), table


def test_a_scope_ends_with_its_transaction(crowd: dict[str, ApiKey], own: Database) -> None:
    for key in crowd.values():
        with own.tenant_transaction(key) as tx:
            tx.commit()
            tx.enter_scope(key.merchant_id, livemode=key.livemode)
            assert owners(tx, "payments") == {(key.merchant_id, key.livemode)}
        with own.transaction() as tx:
            assert len(owners(tx, "payments")) == len(crowd)


@pytest.mark.parametrize(
    "statement",
    [
        (
            "INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)"
            " VALUES ('key_1', 'mer_bob', false, sha256('k'), '{}', 'x')"
        ),
        "UPDATE payments SET livemode = true",
        (
            "INSERT INTO audit_log (id, actor, action, merchant_id, livemode, subject)"
            " VALUES ('aud_1', 'x', 'y', 'mer_alice', true, 'z')"
        ),
        "DELETE FROM idempotency_keys",
        "SELECT * FROM audit_log",
        "SELECT * FROM sandbox_journal",
        "INSERT INTO merchants (id, name) VALUES ('mer_x', 'x')",
    ],
    ids=["key", "mode", "other mode", "delete", "audit log", "sandbox", "merchant"],
)
def test_nothing_is_written_for_another(crowd: dict[str, ApiKey], own: Database, statement: str) -> None:
    with own.tenant_transaction(crowd["alice"]) as tx, pytest.raises(psycopg.errors.InsufficientPrivilege):
        tx.execute(statement)


def test_a_condition_for_another_merchant_finds_nothing(crowd: dict[str, ApiKey], own: Database) -> None:
    with own.tenant_transaction(crowd["alice"]) as tx:
        assert tx.execute("SELECT 1 FROM payments WHERE merchant_id = 'mer_bob'").fetchall() == []
        assert tx.execute("UPDATE payments SET description = 'x' WHERE merchant_id = 'mer_bob'").rowcount == 0


def test_a_tenant_id_is_never_part_of_the_statement(own: Database) -> None:
    with own.tenant_transaction(ApiKey(merchant_id="x'; RESET ROLE; --\\", livemode=False, token="")) as tx:
        row = tx.execute("SELECT current_setting('app.merchant_id') AS merchant, current_user AS role").fetchone()
        assert row == {"merchant": "x'; RESET ROLE; --\\", "role": "payments_merchant"}


def test_a_lost_connection_is_reported_as_such(own: Database, key: ApiKey, postgres: Postgres) -> None:
    def use(*, lost: bool) -> None:
        with own.tenant_transaction(key) as tx:
            if lost:
                terminate(postgres, tx.info.backend_pid)
            assert tx.execute("SELECT current_user AS role").fetchone() == {"role": "payments_merchant"}

    with pytest.raises((psycopg.OperationalError, DatabaseUnavailable)):
        use(lost=True)
    use(lost=False)


def test_a_connection_lost_between_uses_is_replaced(own: Database, key: ApiKey, postgres: Postgres) -> None:
    with own.tenant_transaction(key) as tx:
        terminated = tx.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]  # type: ignore[index]
    terminate(postgres, terminated)
    with own.tenant_transaction(key) as tx:
        row = tx.execute("SELECT pg_backend_pid() AS pid, current_user AS role").fetchone()
    assert row
    assert row["pid"] != terminated
    assert row["role"] == "payments_merchant"


def terminate(postgres: Postgres, pid: int) -> None:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        assert connection.execute("SELECT pg_terminate_backend(%s, 60000)", [pid]).fetchone() == (True,)


#: What else may open a transaction during a request: loading the API key, before its tenant is known, and the sandbox,
#: which is a processor with a journal of its own.
_OTHERS = {"create_app.<locals>.load", "SandboxProcessor._query.<locals>.ask", "decision"}
_SCOPED = "Database.tenant_transaction"


def callers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Record who opens transactions that see all tenants from now on; `tenant_transaction` is one of them.

    Of what is committed together, each unit of work has a scope of its own, or its kind is recorded.
    """
    seen: set[str] = set()
    original, original_group = Database.transaction, Database._group

    def spy(self: Database) -> object:
        seen.add(sys._getframe(1).f_code.co_qualname)
        return original(self)

    def spy_group(self: Database, kind: str, tenant: TenantScope | None) -> GroupCommit:
        seen.add(kind if tenant is None else _SCOPED)
        return original_group(self, kind, tenant)

    monkeypatch.setattr(Database, "transaction", spy)
    monkeypatch.setattr(Database, "_group", spy_group)
    return seen


@pytest.mark.parametrize("route", KEYED, ids=Route.name)
def test_routes_are_scoped(
    client: FlaskClient, key: ApiKey, objects: dict[str, str], route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = callers(monkeypatch)
    response = _call(client, route, _path(route, objects), key.headers)
    assert response.status_code < 500, response.text
    assert seen - _OTHERS == {_SCOPED}


def test_the_worker_settles_in_tenant_scope(
    database: Database, journal: Database, key: ApiKey, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Client(sandbox_context(database, journal), key)
    payment_id = shop.json(shop.create("tok_lost_approved"))["id"]
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE attempts SET next_look_at = now()")
    seen = callers(monkeypatch)
    assert recover_due(shop.context)
    assert seen - _OTHERS == {_SCOPED, "claim_due"}
    assert shop.payment(payment_id)["status"] == "succeeded"
