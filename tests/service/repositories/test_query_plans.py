"""Webhook queries take an index at any size, and the worker's loops do their part."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from payments.repositories import api_keys, cursors, fan_out, webhook_endpoints, webhook_messages
from payments.repositories.connection import Connection
from payments.repositories.cursors import Position
from payments.repositories.database import Database
from payments.repositories.webhook_messages import InFlight
from tests.service.fixtures import ApiKey, Postgres

#: One merchant with 20,000 messages to 16 endpoints, twenty of them due, and as many deliveries.
FILL = """
    SET session_replication_role = replica;
    INSERT INTO merchant_modes VALUES ('mer_many', false);
    INSERT INTO webhook_endpoints (merchant_id, livemode, id, url, event_types, api_version, secret, created_at)
    SELECT 'mer_many', false, 'we_' || lpad(number::text, 26, '0'), 'https://shop.example/', ARRAY['*'], 'x', 'whsec_',
        now() FROM generate_series(0, 15) AS number;
    INSERT INTO events (id, xid, merchant_id, livemode, type, payment_id, sequence, api_version, body)
    SELECT 'evt_' || lpad(number::text, 26, '0'), (number / 200 + 100)::text::xid8, 'mer_many', false,
        'payment.succeeded', 'pay_' || number, 1, 'x', '{}' FROM generate_series(1, 20000) AS number;
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
        claimed = webhook_messages.claim_due(
            explaining, free=256, per_endpoint=4, share=8, in_flight=InFlight(), lease=timedelta(seconds=60)
        )
        assert len(claimed) == 8  # every thousandth: two of the sixteen endpoints
        assert webhook_messages.settle(explaining, claimed[0], status="delivered", attempts=1, delay=None)
        middle = Position(xid="150", id="evt_")
        reached = fan_out.enqueue(explaining, middle, limit=1000)
        assert reached
        subscriptions = fan_out.dequeue(explaining, reached, merchants=32, messages=32)
        assert subscriptions
        webhook_messages.insert(explaining, subscriptions)
        cursors.move(tx, "outbox", Position(xid="200", id="evt_z"))
        assert fan_out.backlog(explaining).events == 1000, "as many as are counted"
        assert webhook_messages.backlog(explaining).messages > 0
        webhook_messages.delete_old(explaining, age=timedelta(days=40), limit=1000)
        assert api_keys.load(explaining, f"key_{500:026}")
    with database.tenant_transaction(many) as tx:  # behind row-level security
        scoped: Any = Explaining(tx)
        again = webhook_messages.subscriptions(scoped, many, f"evt_{7:026}")
        assert len(again) == 16
        webhook_messages.insert(scoped, again)
        webhook_messages.restart(scoped, many, again)
        assert len(webhook_messages.list_deliveries(scoped, many, endpoint, before=None, limit=11)) == 11
        for status, reason in (("disabled", "gone"), ("enabled", None)):
            found = webhook_endpoints.get(tx, many, endpoint)
            assert found
            webhook_endpoints.update(scoped, replace(found, status=status, disabled_reason=reason))
            webhook_endpoints.move_messages(scoped, many, endpoint)
        assert webhook_endpoints.delete(scoped, many, endpoint, secret="whsec_")
        webhook_endpoints.move_messages(scoped, many, endpoint)
        assert len(api_keys.list_for_tenant(scoped, many, before=f"key_{500:026}", limit=11)) == 11
    for plan in explaining.plans + scoped.plans:
        for table in ("webhook_messages", "webhook_deliveries", "events", "api_keys"):
            assert f"Seq Scan on {table}" not in plan, plan
