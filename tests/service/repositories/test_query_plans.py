"""Webhook queries take an index at any size, and the worker's loops do their part."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from payments.repositories import api_keys, webhook_endpoints, webhook_messages
from payments.repositories.cursors import START
from payments.repositories.database import Connection, Database
from tests.service.conftest import ApiKey, Postgres

#: One merchant with 100,000 messages to 16 endpoints, a hundred of them due, and as many deliveries.
FILL = """
    SET session_replication_role = replica;
    INSERT INTO webhook_endpoints (merchant_id, livemode, id, url, event_types, api_version, secret, created_at)
    SELECT 'mer_many', false, 'we_' || lpad(number::text, 26, '0'), 'https://shop.example/', ARRAY['*'], 'x', 'whsec_',
        now() FROM generate_series(0, 15) AS number;
    INSERT INTO events (id, xid, merchant_id, livemode, type, payment_id, sequence, api_version, body)
    SELECT 'evt_' || lpad(number::text, 26, '0'), (number / 1000 + 100)::text::xid8, 'mer_many', false,
        'payment.succeeded', 'pay_' || number, 1, 'x', '{}' FROM generate_series(1, 100000) AS number;
    INSERT INTO webhook_messages (id, merchant_id, livemode, endpoint_id, event_id, status, next_attempt_at, settled_at)
    SELECT 'msg' || substr(id, 4), merchant_id, livemode, 'we_' || lpad((substr(id, 5)::int % 16)::text, 26, '0'), id,
        CASE substr(id, 5)::int % 1000 WHEN 0 THEN 'pending' ELSE 'delivered' END, now(),
        CASE substr(id, 5)::int % 1000 WHEN 0 THEN NULL ELSE now() END FROM events;
    INSERT INTO webhook_deliveries (id, merchant_id, livemode, endpoint_id, message_id, event_id, event_type, attempt,
        status_code, duration_ms, created_at)
    SELECT 'del' || substr(id, 4), merchant_id, livemode, endpoint_id, id, event_id, 'payment.succeeded', 1, 200, 5,
        now() FROM webhook_messages;
    INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)
    SELECT 'key_' || lpad(number::text, 26, '0'), 'mer_many', false, sha256('x'), '{}', 'x'
    FROM generate_series(1, 20000) AS number;
    ANALYZE webhook_endpoints, events, webhook_messages, webhook_deliveries, api_keys
"""


class Explaining:
    """A transaction that notes the plan of every query."""

    def __init__(self, tx: Connection) -> None:
        self.tx = tx
        self.plans: list[str] = []

    def execute(self, query: Any, parameters: Any = None) -> Any:
        self.note(query, parameters)
        return self.tx.execute(query, parameters)

    @contextlib.contextmanager
    def cursor(self, **kwargs: Any) -> Iterator[Any]:
        with self.tx.cursor(**kwargs) as cursor:
            yield _Cursor(self, cursor)

    def note(self, query: Any, parameters: Any) -> None:
        rows = self.tx.execute("EXPLAIN " + query, parameters).fetchall()
        self.plans.append("\n".join(row["QUERY PLAN"] for row in rows))


class _Cursor:
    def __init__(self, explaining: Explaining, cursor: Any) -> None:
        self._explaining, self._cursor = explaining, cursor

    def execute(self, query: Any, parameters: Any = None) -> Any:
        self._explaining.note(query, parameters)
        return self._cursor.execute(query, parameters)


@pytest.fixture
def many(postgres: Postgres) -> ApiKey:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute(FILL)
    return ApiKey(merchant_id="mer_many", livemode=False, token="")


def test_no_query_scans_a_large_table(many: ApiKey, database: Database) -> None:
    endpoint = f"we_{0:026}"
    with database.transaction() as tx:
        explaining: Any = Explaining(tx)
        claimed = webhook_messages.claim_due(explaining, limit=32, per_endpoint=4, busy={}, lease=timedelta(seconds=60))
        assert len(claimed) == 8  # every thousandth: two of the sixteen endpoints
        assert webhook_messages.settle(explaining, claimed[0], status="delivered", attempts=1, delay=None)
        ids = [f"msg_new{number}" for number in range(512)]
        assert webhook_messages.fan_out(explaining, START, limit=100, message_ids=ids)
        assert webhook_messages.backlog(explaining).messages > 0
        webhook_messages.delete_old(explaining, before=datetime.now(UTC) - timedelta(days=40), limit=1000)
        assert api_keys.load(explaining, f"key_{500:026}")
    with database.tenant_transaction(many) as tx:  # behind row-level security
        scoped: Any = Explaining(tx)
        assert webhook_messages.redeliver(scoped, many, f"evt_{7:026}", message_ids=ids[:16])
        assert len(webhook_messages.list_deliveries(scoped, many, endpoint, before=None, limit=11)) == 11
        webhook_endpoints.hold_messages(scoped, many, endpoint)
        webhook_endpoints.release_messages(scoped, many, endpoint)
        assert len(api_keys.list_for_tenant(scoped, many, before=f"key_{500:026}", limit=11)) == 11
    for plan in explaining.plans + scoped.plans:
        for table in ("webhook_messages", "webhook_deliveries", "events", "api_keys"):
            assert f"Seq Scan on {table}" not in plan, plan
