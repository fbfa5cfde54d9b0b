"""The denominators do the work of a payment: the same rows, on a schema that no improvement can change."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from rich.console import Console

from benchmarks import loads
from benchmarks.generator.work import Work
from benchmarks.loads import Script
from benchmarks.options import Options
from benchmarks.postgres import FROZEN, FROZEN_LOGIN, PAYMENTS
from benchmarks.service import API_KEY
from benchmarks.stand import Stand

pytestmark = pytest.mark.rehearsal

#: What a payment writes to.
TABLES = ("idempotency_keys", "payments", "attempts", "sandbox_journal", "ledger_transfers", "events")
_IDENTIFIER = re.compile(r"\b(pay|att|evt|tr|req|sbx_ch)_[0-9a-z]+")
_MERCHANT = re.compile(r"\bmer_[a-z]+")
_TIME = re.compile(r'("created":)\s*\d+')
#: SHA-256 of the names and contents of the files.
_FROZEN = "9858028be4c00de1c88e4b95741edccdcfc476703ed3083b2d7ab27fcfe7e50a"
Rows = Mapping[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(tmp_path_factory.mktemp("bench"), Options(anyway=True, in_flight=2), Console(quiet=True))
    try:
        stand.start()
        yield stand
    finally:
        stand.stop()


@pytest.fixture(scope="module")
def by_service(stand: Stand) -> Rows:
    """What one payment through the API leaves behind."""
    done = loads.generate(Work(port=stand.api.port, flow="create", seconds=60, connections=1, keys=(API_KEY,), flows=1))
    assert done.succeeded == 1
    return read(stand, PAYMENTS)


def read(stand: Stand, database: str) -> Rows:
    """Every row of every table that a payment writes to."""
    with psycopg.connect(stand.server.conninfo(database), row_factory=dict_row) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}".encode()).fetchall() for table in TABLES}


def normalized(rows: list[dict[str, object]], columns: set[str]) -> list[str]:
    """Rows without what differs from payment to payment: identifiers, times, hashes and who the merchant is."""
    return sorted(json.dumps({name: neutral(row[name]) for name in sorted(columns)}) for row in rows)


def neutral(value: object) -> object:
    if isinstance(value, datetime):
        return "a time"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        if value.isdigit():
            return "a transaction"
        text = _MERCHANT.sub("the merchant", _IDENTIFIER.sub(lambda found: f"{found[1]}_id", value))
        return _TIME.sub(r"\1 0", text).replace('": ', '":')
    return value


def assert_same(service: Rows, denominator: Rows) -> None:
    """Columns that the service has added since do not count; those that it gave up do."""
    for table in TABLES:
        columns = set(denominator[table][0])
        assert columns <= set(service[table][0]), f"{table} has lost columns: the denominators write more than it does"
        assert normalized(denominator[table], columns) == normalized(service[table], columns), table


def empty_frozen(stand: Stand) -> None:
    statement = f"SET session_replication_role = replica; {'; '.join(f'DELETE FROM {table}' for table in TABLES)}"
    stand.server.execute(FROZEN, statement)


def test_c1_leaves_the_rows_of_a_payment(stand: Stand, by_service: Rows) -> None:
    empty_frozen(stand)
    suffix = "0" * 25 + "1"
    with psycopg.connect(stand.server.conninfo(FROZEN, user=FROZEN_LOGIN), autocommit=True) as connection:
        connection.execute("SELECT c1_begin('mer_frozen', %s)", [suffix])
        assert connection.execute("SELECT c1_journal(%s)", [suffix]).fetchone() == ("approved",)
        connection.execute("SELECT c1_settle('mer_frozen', %s)", [suffix])
    assert_same(by_service, read(stand, FROZEN))


def test_the_bare_view_leaves_the_rows_of_a_payment(stand: Stand, by_service: Rows) -> None:
    subject = stand.flask("flask")
    empty_frozen(stand)
    (flask,) = (process for process in stand.service.processes if process.name == "flask")
    work = Work(port=flask.port, flow="create", seconds=60, connections=1, keys=("none",), flows=1)
    assert subject.name == "flask"
    assert loads.generate(work).succeeded == 1
    stand.service.discard(flask)
    assert_same(by_service, read(stand, FROZEN))


@pytest.mark.parametrize(("script", "payments"), [("c0", 1), ("c1", 1), ("c2", 16)])
def test_each_script_leaves_whole_payments(stand: Stand, by_service: Rows, script: str, payments: int) -> None:
    empty_frozen(stand)
    load = loads.pgbench(stand.server, Script(name=script, units=payments), seconds=1, connections=2)
    rows = read(stand, FROZEN)
    assert len(rows["payments"]) >= load.units > 0
    assert len(load.latencies) * payments == load.units
    for table in TABLES:
        columns = set(rows[table][0])
        assert set(normalized(rows[table], columns)) == set(normalized(by_service[table], columns)), table
        assert len(rows[table]) == len(by_service[table]) * len(rows["payments"])


def test_c1_is_fenced_by_the_policies_of_the_tenant(stand: Stand) -> None:
    """The functions run in the tenant's scope, as the service's transactions do."""
    stand.server.execute(
        FROZEN, "INSERT INTO merchants (id, name) VALUES ('mer_other', 'Other') ON CONFLICT DO NOTHING"
    )
    foreign = (
        "INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body)"
        " VALUES ('evt_1', 'mer_other', false, 'x', 'y', 1, 'z', '')"
    )
    with psycopg.connect(stand.server.conninfo(FROZEN, user=FROZEN_LOGIN)) as connection:
        connection.execute("SELECT frozen_scope('mer_frozen')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(foreign)


def test_the_denominators_are_those_of_the_first_measurement() -> None:
    """Whoever changes a denominator changes every ratio: then all are measured anew, and this digest is new too."""
    digest = hashlib.sha256()
    for file in sorted((Path(loads.__file__).parent / "denominators").glob("*.*")):
        digest.update(file.name.encode() + file.read_bytes())
    assert digest.hexdigest() == _FROZEN
