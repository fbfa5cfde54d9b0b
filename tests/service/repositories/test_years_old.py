"""What the service does takes no longer in a database that is years old: no table is read from end to end."""

from pathlib import Path

import psycopg
import pytest

from payments.repositories.database import Database
from payments.worker.schedule import all_loops
from tests.service.api import Client, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres
from tests.waiting import wait_until

STORED = Path(__file__).parents[3] / "benchmarks" / "rows" / "stored.sql"
MANY = 20_000
#: What the stored payments lack: each was refunded in part, and told of to an endpoint that has taken it.
MORE = """
    INSERT INTO operations (merchant_id, livemode, id, payment_id, kind, status, amount, created_at, settled_at)
    SELECT merchant_id, livemode, 're' || substr(id, 4), id, 'refund', 'succeeded', 1, now(), now() FROM payments;
    INSERT INTO sandbox_journal (attempt_id, kind, reference, charge_reference, token, amount, currency, outcome)
    SELECT id, 'refund', id, processor_reference, 'tok_visa', 1, 'USD', 'approved' FROM payments;
    INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references, state, handled_at)
    SELECT 'sandbox', id, false, 'refund.created', ARRAY[id], 'followed', now() FROM payments;
    INSERT INTO audit_log (id, actor, action, subject) SELECT 'aud' || substr(id, 4), 'ann', 'x', id FROM payments;
"""


@pytest.fixture
def old(postgres: Postgres, key: ApiKey) -> Postgres:
    """A database in which one merchant has taken many payments."""
    key_id = "key_" + key.token.split("_")[2]
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        statement = STORED.read_text().replace("key_bench", key_id).encode()
        connection.execute(statement, {"first": 1, "last": MANY})
        connection.execute(MORE)
        connection.execute("VACUUM ANALYZE")
    return postgres


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
        *("/v1/events", "/v1/ledger/entries", f"/v1/ledger/entries?payment={paid}", "/v1/balances"),
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


def test_no_table_is_read_from_end_to_end(old: Postgres, key: ApiKey) -> None:
    for measured in (False, True):  # roll-ups and seals first catch up with what was stored
        database, journal = (Database(old.app, size=4, name=name) for name in ("years-old", "years-old-sandbox"))
        client = Client(sandbox_context(database, journal), key)
        if measured:
            with psycopg.connect(old.superuser) as connection:
                connection.execute("SELECT pg_stat_reset()")
            serve(client)
        run_worker(client)
        database.close()
        journal.close()
        connected = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'years-old%'"
        with psycopg.connect(old.superuser, autocommit=True) as connection:
            wait_until(lambda: connection.execute(connected).fetchone() is None, "the end of the connections")  # noqa: B023 - at once
            rows = connection.execute("SELECT relname, seq_tup_read, idx_scan FROM pg_stat_user_tables").fetchall()
    assert sum(searches or 0 for table, _, searches in rows if table == "payments") > 0, "there are figures"
    assert {table: read for table, read, _ in rows if read >= MANY} == {}
