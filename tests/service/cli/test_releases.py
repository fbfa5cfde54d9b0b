"""Every migration, with the data of every table before it: nothing is lost, and the books still add up after it.

The rows are made once, on this release's schema, through the API. For each earlier version they are stored in a
database of that version (all tables and columns that it has), which is then migrated to this release.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic import command

from payments.cli.alembic_upgrade import alembic_config
from payments.cli.migrate import MigrationInputs, migrate
from payments.processors.inbound import ProcessorEvent
from payments.repositories.database import Database
from payments.repositories.schema import known_versions
from payments.services import inbox, ledger_integrity, reconciliation, webhook_delivery
from payments.services.reconciliation import SettlementReport
from tests.service.api import Client, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres, make_database, make_key

INPUTS = MigrationInputs(app_user="payments_service", app_password="app-password")
REPOSITORY = Path(__file__).parents[3]
REPORT = ["kind,reference,currency,amount,fee,settled_on", "charge,ch_1,EUR,100,3,2026-11-01"]
#: What lists show of all that.
PATHS = ["/v1/payments", "/v1/events", "/v1/webhook_endpoints", "/v1/api_keys", "/v1/balances", "/v1/ledger/entries"]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A database with this release on it."""

    postgres: Postgres
    database: Database
    client: Client

    def shown(self) -> dict[str, Any]:
        """Return what the API shows: every list, and every payment with its refunds and events."""
        found = {path: self.client.json(self.client.get(path, limit=100)) for path in PATHS if "balances" not in path}
        found["/v1/balances"] = self.client.json(self.client.get("/v1/balances"))
        for payment in found["/v1/payments"]["data"]:
            for path in ("", "/refunds", "/events"):
                full = f"/v1/payments/{payment['id']}{path}"
                found[full] = self.client.json(self.client.get(full))
        return found


def install(postgres: Postgres, key: ApiKey) -> Installation:
    database = Database(postgres.app, size=4)
    return Installation(postgres=postgres, database=database, client=Client(sandbox_context(database, database), key))


def columns(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the columns of every table that has rows of ours."""
    rows = connection.execute(
        "SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name) WHERE table_schema = 'public'"
        " AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version' AND is_generated = 'NEVER'"
        " GROUP BY table_name ORDER BY table_name"
    )
    return {name: list(found) for name, found in rows.fetchall()}


def rows_of(connection: psycopg.Connection, table: str, names: list[str]) -> list[Any]:
    selected = ", ".join(f'"{name}"' for name in names)
    found = connection.execute(f'SELECT to_jsonb(found) FROM (SELECT {selected} FROM "{table}") AS found')
    return sorted((row for (row,) in found.fetchall()), key=lambda row: json.dumps(row, sort_keys=True))


@pytest.fixture(scope="module")
def filled(postgres_server: str) -> Iterator[Installation]:
    """This release, with rows in every table."""
    postgres = make_database(postgres_server, "releases_filled")
    migrate(INPUTS, conninfo=postgres.owner)
    installation = install(postgres, make_key(postgres, "mer_alice"))
    client = installation.client
    client.json(client.post("/v1/webhook_endpoints", {"url": "https://shop.example/"}))
    child = client.json(client.post("/v1/api_keys", {"name": "n", "scopes": ["payments:read"]}))
    client.json(client.post(f"/v1/api_keys/{child['id']}/rotate"))
    paid = client.json(client.create(reference="order", metadata={"a": "b"}))["id"]
    client.json(client.post(f"/v1/payments/{paid}/refunds", {"amount": 100}))
    held = client.json(client.create(capture_method="manual"))["id"]
    client.json(client.post(f"/v1/payments/{held}/capture", {"amount": 300, "final": False}))
    voided = client.json(client.create(capture_method="manual"))["id"]
    client.json(client.post(f"/v1/payments/{voided}/void"))
    client.create("tok_declined")
    client.create("tok_lost_approved")
    client.create(capture_method="manual")
    start_3ds(client)
    assert webhook_delivery.fan_out(client.context)
    event = ProcessorEvent(event_id="evt_1", type="charge.refunded", livemode=False, references=("ch_1",))
    assert inbox.receive(client.context, "stripe", event)
    report = SettlementReport(processor="stripe", livemode=False, name="day", actor="cli:ann")
    reconciliation.reconcile(client.context, report, reconciliation.parse(REPORT, processor="stripe"))
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute(
            "INSERT INTO webhook_deliveries (id, merchant_id, livemode, endpoint_id, message_id, event_id, event_type,"
            " attempt, status_code, duration_ms, created_at) SELECT 'del_1', m.merchant_id, m.livemode, endpoint_id,"
            " m.id, event_id, 'payment.succeeded', 1, 200, 5, now() FROM webhook_messages m LIMIT 1"
        )
    ledger_integrity.roll_up(client.context)
    ledger_integrity.seal(client.context)
    yield installation
    installation.database.close()


#: Without rows: disputes have tests of their own, payouts are laid out for later, the queue is empty in between.
_EMPTY = {"disputes", "payouts", "webhook_backlogs"}


def test_every_table_has_rows(filled: Installation) -> None:
    """A new table belongs into this file's data."""
    with psycopg.connect(filled.postgres.superuser) as connection:
        counts = {table: len(rows_of(connection, table, names)) for table, names in columns(connection).items()}
    assert {table for table, count in counts.items() if count == 0} <= _EMPTY


def migrate_to(postgres: Postgres, version: str) -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(postgres.owner))
    with engine.connect() as bound:
        config = alembic_config()
        config.attributes["connection"] = bound
        command.upgrade(config, version)
        bound.commit()
    engine.dispose()


def store(source: Postgres, target: Postgres) -> None:
    """Copy all rows of all tables and columns that ``target`` has, past its triggers."""
    with psycopg.connect(source.superuser) as reader, psycopg.connect(target.superuser) as writer:
        writer.execute("SET session_replication_role = replica")
        available = columns(reader)
        for table, names in columns(writer).items():
            common = [name for name in names if name in available.get(table, [])]
            if not common:
                continue
            selected = ", ".join(f'"{name}"' for name in common)
            writer.execute(f'DELETE FROM "{table}"')
            writer.execute(
                f'INSERT INTO "{table}" ({selected}) OVERRIDING SYSTEM VALUE'
                f' SELECT {selected} FROM jsonb_populate_recordset(NULL::"{table}", %s)',
                [json.dumps(rows_of(reader, table, common))],
            )


@pytest.mark.parametrize("version", known_versions()[:-1])
def test_a_migration_keeps_everything(filled: Installation, postgres_server: str, version: str) -> None:
    postgres = make_database(postgres_server, f"releases_{version}")
    migrate_to(postgres, version)
    store(filled.postgres, postgres)
    with psycopg.connect(postgres.superuser) as connection:
        then = columns(connection)
        before = {table: rows_of(connection, table, names) for table, names in then.items()}
    assert before["payments"]
    assert migrate(INPUTS, conninfo=postgres.owner)
    with psycopg.connect(postgres.superuser) as connection:
        kept = {table: set(names) for table, names in columns(connection).items()}
        assert all(set(names) <= kept[table] for table, names in then.items()), "migrations only expand"
        for table, names in then.items():
            found = rows_of(connection, table, names)
            assert [row for row in before[table] if row not in found] == [], table
    upgraded = install(postgres, filled.client.key)
    try:
        expected = filled.shown()
        if "webhook_endpoints" not in then:
            expected["/v1/webhook_endpoints"]["data"] = []
        assert upgraded.shown() == expected
        assert_all_works(upgraded)
    finally:
        upgraded.database.close()


def assert_all_works(upgraded: Installation) -> None:
    client = upgraded.client
    assert ledger_integrity.verify(client.context).problems == []
    waiting = [found for found in upgraded.shown()["/v1/payments"]["data"] if found["status"] == "requires_capture"]
    for payment in waiting:
        client.json(client.post(f"/v1/payments/{payment['id']}/capture"))
    paid = [found for found in upgraded.shown()["/v1/payments"]["data"] if found["amount_captured"]]
    assert paid
    for payment in paid:
        client.json(client.post(f"/v1/payments/{payment['id']}/refunds", {"amount": 1}))
    client.json(client.create())
    ledger_integrity.roll_up(client.context)
    ledger_integrity.seal(client.context)
    assert ledger_integrity.verify(client.context).problems == []


# ---- the previous release on this schema ----------------------------------------
#: The last commit before the schema's version 0009.
PREVIOUS = "2f48f0e"
#: A little load on the previous release's code, and then its own proof that the books add up.
LOAD = """
import json, os, uuid
import payments
assert payments.__file__.startswith(os.getcwd()), "the previous release's code"
from payments.core.settings import Settings
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from payments.services import ledger_integrity
from payments.services.context import Context
from payments.web.app import create_app
from payments.worker.recovery import RecoveryPool

database = Database(os.environ["CONNINFO"], size=8)
sandbox = SandboxProcessor(database, public_base_url="https://localhost")
context = Context(database=database, processors={"sandbox": sandbox}, routes={False: "sandbox", True: "sandbox"})
client = create_app(context, Settings()).test_client()

def send(method, path, body=None):
    headers = {"Authorization": "Bearer " + os.environ["TOKEN"], "Idempotency-Key": uuid.uuid4().hex}
    response = client.open(path, method=method, json=body, headers=headers)
    assert response.status_code < 300 or response.status_code == 402, (path, response.status_code, response.text)
    return response.get_json()

def pay(token="tok_visa", **fields):
    return send("POST", "/v1/payments", {"amount": 1000, "currency": "EUR", "payment_method": token, **fields})

for _ in range(int(os.environ["ROUNDS"])):
    paid = pay()
    send("POST", f"/v1/payments/{paid['id']}/refunds", {"amount": 10})
    held = pay(capture_method="manual")
    send("POST", f"/v1/payments/{held['id']}/capture", {"amount": 10, "final": False})
    send("POST", f"/v1/payments/{held['id']}/void", {})
    pay("tok_declined")
    pay("tok_lost_approved")
    key = send("POST", "/v1/api_keys", {"name": "old", "scopes": ["payments:read"]})
    send("POST", f"/v1/api_keys/{key['id']}/rotate", {})
    hook = send("POST", "/v1/webhook_endpoints", {"url": "https://shop.example/"})
    send("DELETE", f"/v1/webhook_endpoints/{hook['id']}")
pool = RecoveryPool(context, "sandbox")
pool.run()
pool.close()
ledger_integrity.roll_up(context)
ledger_integrity.seal(context)
problems = ledger_integrity.verify(context).problems
assert problems == [], problems
print(json.dumps(len(send("GET", "/v1/payments?limit=100")["data"])))
database.close()
"""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release's code, from the history."""
    folder = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(["git", "archive", PREVIOUS, "service"], cwd=REPOSITORY, capture_output=True, check=False)
    assert archive.returncode == 0, f"fetch the whole history, which has {PREVIOUS}: {archive.stderr.decode()}"
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    return folder / "service"


def test_the_previous_release_works_on_this_schema(filled: Installation, previous: Path, postgres_server: str) -> None:
    """As it does in a rolling deployment, and after a rollback."""
    postgres = make_database(postgres_server, "releases_previous")
    migrate(INPUTS, conninfo=postgres.owner)
    store(filled.postgres, postgres)
    new = install(postgres, filled.client.key)
    try:
        before = len(new.shown()["/v1/payments"]["data"])
        done = subprocess.run(
            [sys.executable, "-c", LOAD],
            env={
                **os.environ,
                "PYTHONPATH": str(previous),
                "CONNINFO": postgres.app,
                "TOKEN": new.client.key.token,
                "ROUNDS": "4",
            },
            cwd=previous,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout) == before + 4 * 4
        assert len(new.shown()["/v1/payments"]["data"]) == before + 4 * 4
        assert ledger_integrity.verify(new.client.context).problems == []
    finally:
        new.database.close()
