"""What guards the rules whose foreign keys are gone (docs/decisions/0319-diet.md)."""

import psycopg
import pytest

from payments.repositories.database import Database
from payments.services import ledger_integrity
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres

_COPY_PAYMENT = """
    INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,
        fee_basis_points, processor, api_version, created_at)
    SELECT %s, livemode, 'pay_copy', status, amount, currency, capture_method, payment_method, fee_basis_points,
        processor, api_version, created_at FROM payments
"""
_COPY_TRANSFER = """
    INSERT INTO ledger_transfers (id, merchant_id, livemode, currency, debit_account, credit_account, amount, kind,
        payment_id, attempt_id)
    SELECT 'tr_copy', merchant_id, livemode, currency, debit_account, credit_account, amount, 'refund', %s,
        attempt_id FROM ledger_transfers WHERE kind = 'capture'
"""


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def test_a_payment_is_of_a_merchant_that_exists(client: Client, database: Database, key: ApiKey) -> None:
    """Its merchant's row is what it is inserted from, and nobody writes in another's scope."""
    client.json(client.create())
    with database.tenant_transaction(key) as tx, pytest.raises(psycopg.errors.InsufficientPrivilege):
        tx.execute(_COPY_PAYMENT, ["mer_nobody"])


@pytest.mark.parametrize("table", ["merchants", "merchant_modes"])
def test_no_merchant_disappears(postgres: Postgres, key: ApiKey, table: str) -> None:
    with psycopg.connect(postgres.app) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("exists", [True, False])
def test_verify_finds_a_transfer_of_another_payment(client: Client, postgres: Postgres, exists: bool) -> None:
    """Another than its attempt's: one that has not captured anything, or one that was never made."""
    client.json(client.create())
    other = client.json(client.create("tok_visa", capture_method="manual"))["id"] if exists else "pay_none"
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute(_COPY_TRANSFER, [other])
    problems = ledger_integrity.verify(client.context).problems
    assert {"problem": "transfer_unexplained", "transfer": "tr_copy"} in problems


def test_a_transfer_has_an_attempt(client: Client, postgres: Postgres) -> None:
    payment = client.json(client.create())["id"]
    with psycopg.connect(postgres.superuser) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(_COPY_TRANSFER.replace("attempt_id FROM", "'att_none' FROM"), [payment])
