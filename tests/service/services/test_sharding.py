"""Sharded by merchant, no transaction of a request would cross a shard; what else would is listed here.

A trigger on every table notes each row that a transaction writes, and whose it is. Reads need no trigger: a request's
transactions run as `payments_merchant`, whose policies show it the rows of one merchant (`test_tenant_scope.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import psycopg
import pytest

from payments.domain.tenancy import TenantScope
from payments.repositories.database import Database
from payments.repositories.group_commit import GroupCommit
from payments.services.context import Context
from payments.worker import schedule
from tests.service.api import Client, sandbox_context, start_3ds
from tests.service.elsewhere import Shop
from tests.service.fixtures import Postgres, make_key
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.seed import add_event
from tests.service.web.test_route_table import KEYED, _call, _path

#: Tables without a merchant: the processor's own books and deliveries, which a processor keeps in a database of its
#: own; positions of readers and the chain of seals, of which each shard would have its own.
NO_MERCHANT = {"sandbox_journal", "processor_inbox", "cursors", "ledger_seals", "settlement_lines", "alembic_version"}
#: The loops of the worker with transactions of several merchants: each is a batch of rows that have nothing to do with
#: each other, and would run once on every shard.
BATCHES: Mapping[str, Set[str]] = {
    "recovery_sandbox": {"attempts"},
    "webhook_fan_out": {"webhook_messages", "webhook_backlogs", "cursors"},
    "webhook_delivery": {"webhook_messages"},
    "ledger_rollup": {"ledger_rollups", "cursors"},
    "idempotency_keys": {"idempotency_keys"},
}
#: Unique constraints and foreign keys without the merchant, which a sharded database would only enforce within a shard,
#: or not take at all: Citus wants the shard key in each, so they would be widened by it. That is enough: an id is a
#: UUIDv7, and what a processor refers to belongs to one payment.
WITHOUT_MERCHANT = {
    "api_keys_pkey",
    "api_keys_replaced_by_fkey",
    "attempts_pkey",
    "audit_log_pkey",
    "disputes_attempt_id_fkey",
    "disputes_attempt_id_key",
    "disputes_processor_livemode_processor_reference_key",
    "events_pkey",
    "ledger_transfers_attempt_id_fkey",
    "ledger_transfers_attempt_id_kind_key",
    "ledger_transfers_pkey",
    "payouts_processor_livemode_processor_reference_key",
    "webhook_deliveries_message_id_fkey",
    "webhook_deliveries_pkey",
    "webhook_endpoints_id_key",
    "webhook_messages_endpoint_id_event_id_key",
    "webhook_messages_event_id_fkey",
    "webhook_messages_pkey",
}

SPY = """
    CREATE SCHEMA spy;
    CREATE TABLE spy.rows (number bigserial, xid xid8, "table" text, merchant text, role text, scope text);
    CREATE FUNCTION spy.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE
        found jsonb;
    BEGIN
        FOREACH found IN ARRAY ARRAY[to_jsonb(OLD), to_jsonb(NEW)] LOOP
            CONTINUE WHEN found IS NULL OR found = 'null';
            INSERT INTO spy.rows (xid, "table", merchant, role, scope) VALUES (pg_current_xact_id(), TG_TABLE_NAME,
                CASE TG_TABLE_NAME WHEN 'merchants' THEN found->>'id' ELSE found->>'merchant_id' END,
                current_setting('role'), current_setting('app.merchant_id', true));
        END LOOP;
        RETURN NULL;
    END
    $$;
    DO $$
    DECLARE
        name text;
    BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('CREATE TRIGGER spy AFTER INSERT OR UPDATE OR DELETE ON public.%I
                FOR EACH ROW EXECUTE FUNCTION spy.note()', name);
        END LOOP;
    END
    $$;
"""


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """What one transaction wrote."""

    tables: frozenset[str]
    merchants: frozenset[str]
    #: Merchants in whose scope it wrote; empty without row-level security.
    scopes: frozenset[str]


class Spy:
    """Sees the rows that transactions write."""

    def __init__(self, conninfo: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._seen = 0

    def transactions(self) -> list[Transaction]:
        """Return the transactions that committed since the last call."""
        rows = self._connection.execute(
            'SELECT number, xid::text, "table", merchant, role, scope FROM spy.rows WHERE number > %s ORDER BY number',
            [self._seen],
        ).fetchall()
        self._seen = max([self._seen, *(row[0] for row in rows)])
        written = defaultdict(list)
        for _, xid, *row in rows:
            written[xid].append(row)
        return [
            Transaction(
                tables=frozenset(table for table, *_ in found),
                merchants=frozenset(merchant for _, merchant, *_ in found if merchant),
                scopes=frozenset(scope for *_, role, scope in found if role == "payments_merchant"),
            )
            for found in written.values()
        ]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def spy(postgres: Postgres) -> Iterator[Spy]:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute(SPY)
        try:
            with closing(Spy(postgres.superuser)) as found:
                yield found
        finally:
            connection.execute("DROP SCHEMA spy CASCADE")  # with its function, the triggers


def group_of_shard(self: Database, kind: str, tenant: TenantScope | None) -> GroupCommit:
    """Group what commits together by shard, which here is a merchant: the only change that shards would ask for."""
    name = f"{kind} {tenant.merchant_id}" if tenant else kind
    return self._groups.setdefault(name, GroupCommit(contextmanager(self._transaction)))


@pytest.fixture
def shops(postgres: Postgres, database: Database, journal: Database, monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    """Three merchants, one of them in both modes."""
    monkeypatch.setattr(Database, "_group", group_of_shard)
    keys = [make_key(postgres, name) for name in ("mer_alice", "mer_bob", "mer_carol")]
    keys.append(make_key(postgres, "mer_alice", livemode=True))
    return [Client(sandbox_context(database, journal), key) for key in keys]


def trade(shop: Client) -> dict[str, str]:
    """Every way that a payment can go, and one object for each kind of path parameter."""
    authorized = shop.json(shop.create(capture_method="manual"))["id"]
    shop.json(shop.post(f"/v1/payments/{authorized}/capture", {}))
    shop.json(shop.post(f"/v1/payments/{authorized}/refunds", {"amount": 400}))
    shop.json(shop.post(f"/v1/payments/{shop.json(shop.create(capture_method='manual'))['id']}/void"))
    assert shop.create("tok_insufficient_funds").status_code == 402
    assert shop.create(key="again").data == shop.create(key="again").data
    _, page = start_3ds(shop)
    assert shop.http().post(page, data={"decision": "approve"}).status_code < 400
    refund = shop.json(shop.post(f"/v1/payments/{authorized}/refunds", {"amount": 1}))["id"]
    hook = shop.json(shop.post("/v1/webhook_endpoints", {"url": "https://shop.example/hook"}))["id"]
    made = shop.json(shop.post("/v1/api_keys", {"name": "n", "scopes": ["payments:read"]}))["id"]
    return {"payment_id": authorized, "refund_id": refund, "endpoint_id": hook, "key_id": made}


def test_no_request_writes_rows_of_two_merchants(spy: Spy, postgres: Postgres, shops: list[Client]) -> None:
    """All merchants at the same time, so that each connection of the pool serves one after another."""
    with ThreadPoolExecutor(len(shops)) as pool:
        objects = list(pool.map(trade, shops))
    written = spy.transactions()
    for shop, own in zip(shops, objects, strict=True):
        own["event_id"] = add_event(postgres, shop.key.merchant_id, livemode=shop.key.livemode)
    spy.transactions()  # the event was not written by a request
    for route in KEYED:
        for shop, own in zip(shops, objects, strict=True):
            _call(shop.http(), route, _path(route, own), shop.key.headers)
    written += spy.transactions()
    assert len(written) > 100
    for transaction in written:
        if transaction.tables <= NO_MERCHANT:
            continue
        assert len(transaction.merchants) == 1, transaction
        assert transaction.scopes <= transaction.merchants, "reads of one merchant, writes of another"
        assert not transaction.tables & NO_MERCHANT, "one transaction on a shard and elsewhere"
    assert {name for found in written for name in found.merchants} == {"mer_alice", "mer_bob", "mer_carol"}


def test_every_payment_is_written_in_its_merchants_scope(spy: Spy, shops: list[Client]) -> None:
    """The policies, not the statements, keep these transactions on one shard.

    The sandbox's 3-D Secure page is the exception: a customer has no key, so the attempt says whose payment it is.
    """
    for shop in shops:
        trade(shop)
    paid = [found for found in spy.transactions() if "payments" in found.tables]
    assert len(paid) >= 10 * len(shops)
    unscoped = [found.tables for found in paid if found.scopes != found.merchants]
    assert unscoped == [frozenset({"attempts", "payments", "events"})] * len(shops)


#: Makes everything due that the worker does.
LATER = """
    UPDATE attempts SET deadline_at = now(), next_look_at = now() WHERE status = 'open';
    UPDATE payments SET expires_at = now() WHERE status = 'requires_capture';
    UPDATE idempotency_keys SET expires_at = now() WHERE expires_at IS NOT NULL;
    UPDATE webhook_endpoints SET url = 'https://127.0.0.1:1/';
"""


def run_to_its_end(context: Context, name: str) -> None:
    """Run the worker's loop of this name while it finds something, and wait for what it started."""
    (loop,) = (found for found in schedule.all_loops(context) if found.name == name)
    for _ in range(50):
        if not loop.run():
            break
    loop.close()


def test_the_worker_settles_one_merchant_at_a_time(spy: Spy, postgres: Postgres, shops: list[Client]) -> None:
    """What it does in batches instead is what `BATCHES` says, and no other loop or table."""
    for shop in shops:
        trade(shop)
        shop.create("tok_lost_approved")
        shop.create("tok_pending_declined")
        shop.create(capture_method="manual")
    context = replace(shops[0].context, allow_local_webhooks=True)
    batches: dict[str, set[str]] = defaultdict(set)
    alone: dict[str, set[str]] = defaultdict(set)
    for name in [loop.name for loop in schedule.all_loops(context)] * 2:  # what one does gives another something to do
        with psycopg.connect(postgres.superuser) as connection:
            connection.execute(LATER)
            connection.execute("UPDATE webhook_messages SET next_attempt_at = now() WHERE status = 'pending'")
        spy.transactions()
        run_to_its_end(context, name)
        for transaction in spy.transactions():
            crosses = len(transaction.merchants) > 1 or (transaction.merchants and transaction.tables & NO_MERCHANT)
            (batches if crosses else alone)[name] |= transaction.tables - {"sandbox_journal"}
    assert set(batches) == set(BATCHES)
    assert all(tables <= BATCHES[name] for name, tables in batches.items()), batches
    assert {"payments", "attempts", "events", "ledger_transfers"} <= alone["recovery_sandbox"]
    assert "webhook_deliveries" in alone["webhook_delivery"]
    assert alone["authorizations"] >= {"payments", "attempts"}
    assert alone["ledger_sealer"] == {"ledger_seals"}


#: Tables of which each shard has what it needs: who the merchants are, and which there are.
OF_ALL = {"merchants", "merchant_modes"}


def test_the_constraints_that_lack_the_merchant_are_known(postgres: Postgres) -> None:
    """A shard cannot enforce them across others. Compared in one direction: fewer are welcome."""
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute(
            """
            SELECT conname, conrelid::regclass::text FROM pg_constraint
            WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace
                AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = conrelid AND attname = 'merchant_id')
                AND NOT EXISTS (SELECT FROM pg_attribute
                    WHERE attrelid = conrelid AND attnum = ANY(conkey) AND attname = 'merchant_id')
            """
        ).fetchall()
    assert {name for name, table in rows if table not in OF_ALL} <= WITHOUT_MERCHANT
    assert len(rows) > 5


def test_external_changes_are_booked_by_merchant(
    spy: Spy, postgres: Postgres, database: Database, stripe: StripeDashboard
) -> None:
    """The exception: the event that was received is closed in the transaction that books it."""
    shops = [Shop(database, make_key(postgres, name), postgres, stripe) for name in ("mer_alice", "mer_bob")]
    for _, intent in [shop.buy() for shop in shops]:
        stripe.open_dispute(intent)
        stripe.dashboard_refund(intent, 100)
    shops[0].deliver()
    written = [found for found in spy.transactions() if found.merchants]
    assert all(len(found.merchants) == 1 for found in written)
    assert {table for found in written for table in found.tables & NO_MERCHANT} <= {"processor_inbox"}
    assert {"disputes", "operations"} <= {table for found in written for table in found.tables}
