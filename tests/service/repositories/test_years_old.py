"""What the service does takes no longer in a database that is years old: nothing is read from end to end."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import psycopg
import pytest

from payments.repositories import webhook_messages
from payments.repositories.connection import Connection
from payments.repositories.database import Database
from payments.repositories.webhook_messages import InFlight
from payments.services import reconciliation
from payments.services.reconciliation import COLUMNS, SettlementReport
from payments.worker.schedule import all_loops
from tests.service.api import Client, sandbox_context, start_3ds
from tests.service.elsewhere import Shop
from tests.service.fixtures import ApiKey, Postgres, close_idle, make_database, make_key, make_migrated_database
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_standin import stripe_standin
from tests.waiting import wait_until

STORED = Path(__file__).parents[3] / "benchmarks" / "rows" / "stored.sql"
#: Enough for an index to be cheaper than the whole table, whatever is asked.
MANY = 12_000
#: What the stored payments lack: each was refunded in part, disputed, and told of to an endpoint that has taken it.
#: Every other one was Stripe's, of which one has no outcome yet. The merchant has as many keys, and another endpoint. A
#: report has named them all.
MORE = """
    INSERT INTO operations (merchant_id, livemode, id, payment_id, kind, status, amount, created_at, settled_at)
    SELECT merchant_id, livemode, 're' || substr(id, 4), id, 'refund', 'succeeded', 1, now(), now() FROM payments;
    INSERT INTO sandbox_journal (attempt_id, kind, reference, charge_reference, token, amount, currency, outcome)
    SELECT id, 'refund', id, processor_reference, 'tok_visa', 1, 'USD', 'approved' FROM payments;
    UPDATE payments SET processor = 'stripe' WHERE right(id, 1) IN ('0', '2', '4', '6', '8');
    UPDATE attempts SET processor = 'stripe' WHERE right(id, 1) IN ('0', '2', '4', '6', '8');
    UPDATE attempts SET status = 'open', settled_at = NULL, next_look_at = now() + interval '1 day'
    WHERE id = (SELECT max(id) FROM attempts WHERE processor = 'stripe');
    INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references, state, handled_at)
    SELECT processor, id, false, 'refund.created', ARRAY[id], 'followed', now() FROM payments;
    INSERT INTO webhook_endpoints (merchant_id, livemode, id, url, event_types, api_version, secret, created_at)
    SELECT merchant_id, livemode, 'we_' || repeat('0', 26), 'https://127.0.0.1:1/', ARRAY['*'], api_version, 'whsec_',
        created_at FROM payments ORDER BY created_at LIMIT 1;
    INSERT INTO webhook_messages (id, merchant_id, livemode, endpoint_id, event_id, status, attempts, next_attempt_at,
        settled_at)
    SELECT 'msg_7' || substr(events.id, 6), merchant_id, livemode, endpoint.id, events.id, 'delivered', 1, now(), now()
    FROM events JOIN webhook_endpoints AS endpoint USING (merchant_id, livemode);
    INSERT INTO webhook_deliveries (id, merchant_id, livemode, endpoint_id, message_id, event_id, event_type, attempt,
        status_code, duration_ms, created_at)
    SELECT 'del' || substr(id, 4), merchant_id, livemode, endpoint_id, id, event_id, 'payment.succeeded', 1, 200, 5,
        now() FROM webhook_messages;
    INSERT INTO webhook_endpoints (merchant_id, livemode, id, url, event_types, api_version, secret, created_at, status,
        disabled_reason)
    SELECT merchant_id, livemode, 'we_1' || substr(id, 5), url, event_types, api_version, secret, created_at,
        'disabled', 'requested' FROM webhook_endpoints;
    INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)
    SELECT 'key_9' || substr(id, 6), merchant_id, livemode, sha256('x'), '{}', api_version FROM payments;
    INSERT INTO disputes (merchant_id, livemode, id, payment_id, status, amount, currency, processor,
        processor_reference, attempt_id)
    SELECT merchant_id, livemode, 'dp' || substr(id, 4), id, 'won', 1, 'USD', 'stripe', id, 'att' || substr(id, 4)
    FROM payments;
    INSERT INTO settlement_lines (processor, livemode, report, line, kind, processor_reference, currency, amount,
        settled_on)
    SELECT 'sandbox', false, 'old.csv', row_number() OVER (), 'charge', processor_reference, 'USD', 1250, created_at
    FROM payments;
    INSERT INTO audit_log (id, actor, action, subject) SELECT 'aud' || substr(id, 4), 'ann', 'x', id FROM payments;
"""
#: Indexes of what waits, and how often one round of everything that the worker does may search each. The entry of what
#: no longer waits remains until a vacuum removes it, which none does while a transaction may still see the row as it
#: was: whoever searches there reads all of those, too.
QUEUES = {
    "attempts_due": 6,
    "processor_inbox_due": 6,
    "webhook_messages_due": 12,
    "payments_expiring": 2,
    "idempotency_keys_expiring": 2,
}
NAME = "years-old"
#: All on one worker, which fills one database.
pytestmark = pytest.mark.xdist_group("years_old")
ENDPOINT = f"/v1/webhook_endpoints/we_{0:026}"
#: Nothing was ever sent to this one.
QUIET = f"/v1/webhook_endpoints/we_1{0:025}"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was read of each table in its order, and of each index; and how often each index was searched."""

    read: dict[str, int]
    searches: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A database in which one merchant has taken many payments, and its key."""

    postgres: Postgres
    key: ApiKey


@pytest.fixture(scope="module")
def stored(postgres_server: str) -> Stored:
    """What every test copies: to fill a database takes much longer."""
    postgres = make_migrated_database(postgres_server, "stored")
    key = make_key(postgres, "mer_alice")
    key_id = "key_" + key.token.split("_")[2]
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        statement = STORED.read_text().replace("key_bench", key_id).encode()
        connection.execute(statement, {"first": 1, "last": MANY})
        connection.execute(MORE)
    with connections(postgres) as (database, journal):  # roll-ups, seals and the fan-out catch up with what was stored
        run_worker(Client(sandbox_context(database, journal), key))
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("DELETE FROM webhook_messages WHERE status <> 'delivered'")
        connection.execute("VACUUM ANALYZE")
    return Stored(postgres=postgres, key=key)


@pytest.fixture
def key(stored: Stored) -> ApiKey:
    return stored.key


@pytest.fixture
def old(postgres_server: str, stored: Stored) -> Iterator[Postgres]:
    """A copy of that database."""
    close_idle()  # a database that somebody is connected to cannot be copied
    copy = make_database(postgres_server, "old", template="stored")
    yield copy
    close_idle()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP DATABASE old")


@contextmanager
def connections(old: Postgres) -> Iterator[tuple[Database, Database]]:
    """Yield connections for the service and its sandbox, which have ended afterwards: then the server has counted."""
    with closing(Database(old.app, size=4, name=NAME)) as database, closing(Database(old.app, name=NAME)) as journal:
        yield database, journal
    with psycopg.connect(old.superuser, autocommit=True) as connection:
        connected = "SELECT FROM pg_stat_activity WHERE application_name = %s"
        wait_until(lambda: connection.execute(connected, [NAME]).fetchone() is None, "the end of the connections")


@contextmanager
def counting(old: Postgres) -> Iterator[Callable[[], Figures]]:
    """Yield what returns the figures of all connections that have ended since."""
    old.execute("SELECT pg_stat_force_next_flush()")  # what a test has read itself counts now, not later
    old.execute("SELECT pg_stat_reset()")

    def figures() -> Figures:
        tables = old.execute("SELECT relname, seq_tup_read FROM pg_stat_user_tables")
        indexes = old.execute("SELECT indexrelname, idx_tup_read, idx_scan FROM pg_stat_user_indexes")
        read = {name: read for name, read, *_ in [*tables, *indexes]}
        return Figures(read=read, searches={name: searches for name, _, searches in indexes})

    yield figures


def serve(client: Client) -> None:
    """Everything that merchants ask for."""
    for token in ("tok_visa", "tok_declined", "tok_lost_approved"):
        client.create(token)
    paid = client.json(client.create(capture_method="manual"))["id"]
    client.json(client.post(f"/v1/payments/{paid}/capture", {"amount": 400, "final": False}))
    client.json(client.post(f"/v1/payments/{paid}/capture"))
    client.json(client.post(f"/v1/payments/{paid}/refunds", {"amount": 10}))
    voided = client.json(client.create(capture_method="manual"))["id"]
    client.json(client.post(f"/v1/payments/{voided}/void"))
    waiting, page = start_3ds(client)
    client.http().get(page)
    client.http().post(page, data={"decision": "approve"})
    for path in (
        *("/v1/payments", f"/v1/payments/{paid}", f"/v1/payments/{waiting}/events", f"/v1/payments/{paid}/refunds"),
        *("/v1/events", "/v1/events?type=dispute.created", "/v1/events?type=refund.*"),
        *("/v1/ledger/entries", f"/v1/ledger/entries?payment={paid}", "/v1/balances"),
        *("/v1/payments?status=requires_capture", "/v1/payments?created_gte=1", "/v1/payments?reference=order-1"),
        *("/v1/api_keys", "/v1/webhook_endpoints"),
    ):
        client.json(client.http().get(path, headers=client.key.headers))


def run_worker(client: Client) -> None:
    """One round of everything that the worker does."""
    loops = all_loops(client.context)
    for loop in loops:
        while loop.run():
            pass
    for loop in loops:
        loop.close()


def serve_stripe(shop: Shop) -> int:
    """Payments through Stripe, which tells of them, and of what it did on its own; returns how many events it sent."""
    for _ in range(12):
        _, intent = shop.buy()
        shop.stripe.dashboard_refund(intent, 100)
        shop.stripe.open_dispute(intent)
    captured, _ = shop.buy(capture_method="manual")
    shop.json(shop.post(f"/v1/payments/{captured}/capture"))
    shop.json(shop.post(f"/v1/payments/{captured}/refunds", {"amount": 10}))
    for message in shop.stripe.messages:
        shop.send(message)
    return len(shop.stripe.messages)


def settle_deliveries(tx: Connection) -> int:
    """Settle every message that is due, as if an endpoint had taken it; returns how many."""
    claimed = webhook_messages.claim_due(
        tx, free=256, per_endpoint=32, share=1, in_flight=InFlight(), lease=timedelta(seconds=60)
    )
    for message in claimed:
        assert webhook_messages.settle(tx, message, status="delivered", attempts=1, delay=None)
    return len(claimed)


def require_small(figures: Figures) -> None:
    assert sum([*figures.searches.values(), *figures.read.values()]) > 0, "there are figures"
    assert {name: read for name, read in figures.read.items() if read >= MANY / 10} == {}


def require_few_searches(figures: Figures) -> None:
    """Require that queues were searched for what is due, and not for each thing that was."""
    assert {name: figures.searches[name] for name, most in QUEUES.items() if figures.searches[name] > most} == {}


def test_requests_and_the_worker_read_what_they_are_about(old: Postgres, key: ApiKey) -> None:
    with counting(old) as figures, connections(old) as (database, journal):
        client = Client(sandbox_context(database, journal), key)
        serve(client)
        for endpoint in (ENDPOINT, QUIET):
            client.json(client.http().get(f"{endpoint}/deliveries", headers=key.headers))
        client.json(client.post(f"/v1/events/evt_{1:026}/redeliver"))
        serve(Client(client.context, make_key(old, "mer_small")))
    require_small(figures())
    assert {name: figures().searches[name] for name in QUEUES} == dict.fromkeys(QUEUES, 0), "that is the worker's"
    with counting(old) as figures, connections(old) as (database, journal):
        run_worker(Client(sandbox_context(database, journal), key))
    require_small(figures())
    require_few_searches(figures())
    old.execute("UPDATE webhook_endpoints SET failing_since = NULL")  # then it is sent more than one at a time
    old.execute("UPDATE webhook_messages SET next_attempt_at = now() WHERE status = 'pending'")
    with counting(old) as figures, connections(old) as (database, _), database.transaction() as tx:
        settled = settle_deliveries(tx)
        tx.commit()
    assert settled > 4
    assert figures().searches["webhook_messages_due"] <= 6, "one claim, and each was settled by its id"
    with counting(old) as figures, connections(old) as (database, journal):
        client = Client(sandbox_context(database, journal), key)
        for status in ("disabled", "enabled"):
            client.json(client.http().patch(ENDPOINT, json={"status": status}, headers=key.headers))
        assert client.http().delete(ENDPOINT, headers=key.headers).status_code == HTTPStatus.OK
    require_small(figures())


def test_reconciliation_reads_the_days_of_the_report(old: Postgres, key: ApiKey) -> None:
    today = datetime.now(UTC).date()
    report = SettlementReport(processor="sandbox", livemode=False, name="today.csv", actor="ann")
    with connections(old) as (database, journal):
        client = Client(sandbox_context(database, journal), key)
        serve(client)
        client.json(client.create())
    ((reference,),) = old.execute("SELECT processor_reference FROM payments ORDER BY id DESC LIMIT 1")
    rows = [",".join(COLUMNS), f"charge,{reference},EUR,1000,20,{today}", f"charge,unknown,EUR,1,0,{today}"]
    with counting(old) as figures, connections(old) as (database, journal):
        lines = reconciliation.parse(rows, processor="sandbox")
        found = reconciliation.reconcile(sandbox_context(database, journal), report, lines)
    require_small(figures())
    assert sorted(row["difference"] for row in found) == ["not_in_our_books", *["not_in_the_report"] * 4]


def test_what_a_processor_tells_is_found_by_its_reference(old: Postgres, key: ApiKey) -> None:
    stripe = StripeDashboard()
    with stripe_standin(stripe), counting(old) as figures, connections(old) as (database, _):
        shop = Shop(database, key, old, stripe)
        told = serve_stripe(shop)
        run_worker(shop)
    require_small(figures())
    assert told > 4 * QUEUES["processor_inbox_due"]
    require_few_searches(figures())
