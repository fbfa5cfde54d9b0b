"""Statements that travel together: in order, all or nothing, with every type as psycopg itself would send it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from payments.repositories.connection import Connection, begin_request, may_have_committed
from payments.repositories.database import Database
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key
from tests.service.lossy_proxy import LossyProxy

_TYPES = {
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "interval": st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    "timestamptz": st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    "text[]": st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
}


@pytest.fixture
def own(postgres: Postgres) -> Iterator[Database]:
    database = Database(postgres.app, size=1)
    yield database
    database.close()


def insert_merchant(tx: Connection, merchant_id: str) -> None:
    tx.queue("INSERT INTO merchants (id, name) VALUES (%(id)s, 'x')", {"id": merchant_id})


def merchants(database: Database) -> list[str]:
    with database.transaction() as tx:
        return [row["id"] for row in tx.execute("SELECT id FROM merchants ORDER BY id")]


def one(tx: Connection, query: str, parameters: dict[str, object]) -> Any:
    return tx.queue(query, parameters).one(lambda row: row["value"])


@pytest.fixture(scope="module")
def connection(migrated: Postgres) -> Iterator[Connection]:
    """A connection without a pool, whose threads would disturb what Hypothesis draws."""
    with Connection.connect(migrated.app, row_factory=dict_row) as connection:
        yield connection


@settings(max_examples=50)
@given(st.data(), st.sampled_from(sorted(_TYPES)))
def test_every_type_arrives_as_psycopg_would_send_it(connection: Connection, data: st.DataObject, name: str) -> None:
    value = data.draw(st.none() | _TYPES[name])
    query = f"SELECT %(value)s::{name} AS value"
    assert one(connection, query, {"value": value}) == value
    assert connection.execute(query, {"value": value}).fetchone() == {"value": value}
    connection.rollback()


def test_json(own: Database) -> None:
    with own.transaction() as tx:
        assert one(tx, "SELECT %(value)s::jsonb AS value", {"value": Jsonb({"a": [1, None]})}) == {"a": [1, None]}


def test_the_queue_is_executed_in_order(own: Database) -> None:
    with own.transaction() as tx:
        insert_merchant(tx, "mer_1")
        found = tx.queue("SELECT id FROM merchants")
        insert_merchant(tx, "mer_2")
        row = tx.execute("SELECT count(*) AS merchants FROM merchants").fetchone()
        assert row == {"merchants": 2}
        assert found.rowcount == 1
        tx.commit()
    assert merchants(own) == ["mer_1", "mer_2"]


def test_what_is_not_committed_is_not_done(own: Database) -> None:
    with own.transaction() as tx:
        insert_merchant(tx, "mer_queued")
    with own.transaction() as tx:
        insert_merchant(tx, "mer_sent")
        tx.flush()
    with own.transaction() as tx:
        forgotten = tx.queue("SELECT 1 AS value")
    with pytest.raises(RuntimeError, match="ended"):
        forgotten.one(dict)
    assert merchants(own) == []


def test_after_an_error_nothing_is_done(own: Database) -> None:
    begin_request()
    for _ in range(2):  # the second time, what was prepared in vain is prepared again
        with own.transaction() as tx:
            pid = tx.info.backend_pid
            insert_merchant(tx, "mer_1")
            insert_merchant(tx, "mer_1")
            tx.queue("INSERT INTO audit_log (id, actor, action, subject) VALUES ('log_1', 'x', 'y', 'z')")
            with pytest.raises(psycopg.errors.UniqueViolation):
                tx.commit()
        assert not may_have_committed(), "the server has said no"
        assert merchants(own) == []
    with own.transaction() as tx:
        insert_merchant(tx, "mer_1")
        logged = tx.queue("INSERT INTO audit_log (id, actor, action, subject) VALUES ('log_1', 'x', 'y', 'z')")
        tx.commit()
        assert logged.rowcount == 1
        assert tx.info.backend_pid == pid
    assert may_have_committed()
    assert merchants(own) == ["mer_1"]


def test_a_statement_that_cannot_be_prepared_fails_alone(own: Database) -> None:
    for _ in range(2):
        with own.transaction() as tx, pytest.raises(psycopg.errors.UndefinedTable):
            one(tx, "SELECT 1 AS value FROM nowhere", {})
    assert merchants(own) == []


def test_more_than_both_sides_buffer_does_not_block(own: Database) -> None:
    text = "x" * 5_000_000
    with own.transaction() as tx:
        replies = [tx.queue("SELECT %(text)s || %(number)s AS value", {"text": text, "number": n}) for n in "abc"]
        assert [reply.one(lambda row: row["value"]) for reply in replies] == [text + n for n in "abc"]


def test_a_payment_costs_four_round_trips(postgres: Postgres, key: ApiKey) -> None:
    """Tx1, the sandbox's journal, and the locks and the writes of Tx2."""
    with LossyProxy(postgres.app) as proxy:
        database, journal = Database(proxy.conninfo, size=1), Database(proxy.conninfo, size=1)
        client = Client(sandbox_context(database, journal), key)
        for _ in range(3):
            before = proxy.packets
            client.json(client.create())
        assert proxy.packets - before == 4
        for pool in (database, journal):
            pool.close()


def test_statements_are_planned_for_their_tenant(own: Database, postgres: Postgres, key: ApiKey) -> None:
    """The same statement on one connection, with row-level security and without."""
    other = make_key(postgres, "mer_other")
    count = "SELECT count(*) AS value FROM api_keys"
    for _ in range(2):
        with own.transaction() as tx:
            assert one(tx, count, {}) == 2
        with own.tenant_transaction(other) as tx:
            assert one(tx, count, {}) == 1
