"""Lists: newest first, paged by keyset, stable under inserts, filtered, and served from an index at any size."""

from typing import Any

import psycopg
import pytest

from payments.domain.payments import PaymentStatus
from payments.repositories import events, ledger
from payments.repositories import payments as payment_repository
from payments.repositories.connection import Connection
from payments.repositories.cursors import Position
from payments.repositories.database import Database
from payments.repositories.payments import PaymentFilter
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def walk(client: Client, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    pages, cursor = [], None
    while True:
        page = client.json(client.get(path, **query, **({"cursor": cursor} if cursor else {})))
        pages.append(page["data"])
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            return pages


@pytest.mark.parametrize(
    "path", ["/v1/payments", "/v1/events", "/v1/ledger/entries", "/v1/payments/{}/refunds", "/v1/payments/{}/events"]
)
def test_pages_contain_everything_once(client: Client, path: str) -> None:
    payment_id = client.json(client.create())["id"]
    for _ in range(4):
        client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 1}))
    for _ in range(2 if "{}" not in path else 0):
        client.create()
    path = path.format(payment_id)
    whole = walk(client, path, limit=100)[0]
    pages = walk(client, path, limit=2)
    assert [item for page in pages for item in page] == whole
    assert all(len(page) == 2 for page in pages[:-1])
    assert len({item["id"] for item in whole}) == len(whole) > 2
    created = [item["created"] for item in whole]
    assert created == sorted(created, reverse=True)


def test_new_objects_shift_no_page(client: Client) -> None:
    ids = [client.json(client.create())["id"] for _ in range(4)]
    first = client.json(client.get("/v1/payments", limit=2))
    client.create()
    second = client.json(client.get("/v1/payments", limit=2, cursor=first["next_cursor"]))
    assert [item["id"] for item in first["data"] + second["data"]] == ids[::-1]


def test_filters(client: Client) -> None:
    paid = client.json(client.create(reference="order-1"))
    client.create("tok_declined", reference="order-2")

    def found(**query: Any) -> int:
        return len(client.json(client.get("/v1/payments", **query))["data"])

    assert found(status="succeeded") == 1
    assert found(status="failed", reference="order-1") == 0
    assert found(reference="order-2") == 1
    assert found(created_gte=paid["created"]) == 2
    assert found(created_lt=paid["created"]) == 0
    assert found(created_gte=paid["created"] + 60) == 0
    assert found(created_gte=0, created_lt=10**11) == 2


ROWS = 20_000
#: Rows as a merchant among five would have them. No foreign key is checked: they are made to be right.
FILL = """
    SET session_replication_role = replica;
    INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,
        reference, fee_basis_points, processor, api_version, created_at)
    SELECT CASE number % 5 WHEN 0 THEN 'mer_other' || number / 5 % 4 ELSE 'mer_many' END, false,
        'pay_' || lpad(number::text, 26, '0'), CASE number % 50 WHEN 1 THEN 'failed' ELSE 'succeeded' END, 1000, 'EUR',
        'automatic', 'tok_visa', 'order-' || number, 0, 'sandbox', 'x', now() FROM generate_series(1, 20000) AS number;
    INSERT INTO events (id, xid, merchant_id, livemode, type, payment_id, sequence, api_version, body)
    SELECT 'evt' || substr(id, 4), (substr(id, 5)::bigint / 200 + 100)::text::xid8, merchant_id, livemode,
        'payment.succeeded', id, 1, 'x', '{}' FROM payments;
    INSERT INTO ledger_transfers (id, xid, merchant_id, livemode, currency, debit_account, credit_account, amount, kind,
        payment_id, attempt_id)
    SELECT 'tr' || substr(id, 4), (substr(id, 5)::bigint / 200 + 100)::text::xid8, merchant_id, livemode, 'EUR',
        'processor_receivable', 'merchant_payable', 1000, 'capture', id, id FROM payments;
    INSERT INTO attempts (id, merchant_id, livemode, payment_id, kind, processor, status, deadline_at, next_look_at,
        settled_at)
    SELECT id, merchant_id, livemode, id, 'payment', 'sandbox', 'settled', now(), now(), now() FROM payments;
    INSERT INTO operations (merchant_id, livemode, id, payment_id, kind, status, amount, created_at)
    SELECT merchant_id, livemode, 're' || substr(id, 4), id, 'refund', 'succeeded', 1, created_at FROM payments;
    ANALYZE payments, attempts, events, ledger_transfers, operations
"""
MIDDLE = f"pay_{ROWS // 2 + 1:026}"


@pytest.fixture
def many(postgres: Postgres) -> ApiKey:
    """A merchant with 16,000 of 20,000 payments, each with a refund, an event and a transfer."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute(FILL)
    return ApiKey(merchant_id="mer_many", livemode=False, token="")


class Explaining:
    """A transaction that notes the plan of every query."""

    def __init__(self, tx: Connection) -> None:
        self.tx = tx
        self.plans: list[str] = []

    def execute(self, query: Any, parameters: Any = None) -> Any:
        rows = self.tx.execute("EXPLAIN " + query, parameters).fetchall()
        self.plans.append("\n".join(row["QUERY PLAN"] for row in rows))
        return self.tx.execute(query, parameters)


def test_every_list_is_served_from_an_index(many: ApiKey, database: Database) -> None:
    with database.tenant_transaction(many) as tx:  # also behind row-level security
        explaining: Any = Explaining(tx)
        filters = {
            "all": PaymentFilter(),
            "a later page": PaymentFilter(before_id=MIDDLE),
            "by status": PaymentFilter(status=PaymentStatus.FAILED, before_id=MIDDLE),
            "by reference": PaymentFilter(reference="order-51"),
            "by time": PaymentFilter(from_id=MIDDLE),
        }
        for name, wanted in filters.items():
            assert payment_repository.list_payments(explaining, many, wanted, limit=11), name
        assert payment_repository.list_refunds(explaining, many, MIDDLE, before_id=None, limit=11)
        assert events.list_for_tenant(explaining, many, before=None, limit=11)
        assert events.list_for_tenant(explaining, many, before=("150", "evt_z"), limit=11)
        assert events.list_for_payment(explaining, many, MIDDLE, before=None, limit=11)
        assert ledger.list_for_tenant(explaining, many, before=None, limit=11)
        assert ledger.list_for_tenant(explaining, many, before=Position(xid="150", id="tr_z"), limit=11)
        in_order = list(explaining.plans)
        assert ledger.list_for_tenant(explaining, many, before=None, limit=11, payment_id=MIDDLE)
    assert "ledger_transfers_attempt_id_kind_key" in explaining.plans[-1], "however many transfers its merchant has"
    for plan in explaining.plans:
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan
    for plan in in_order:
        assert "Sort" not in plan, "rows come from the index in order, however many there are: " + plan
