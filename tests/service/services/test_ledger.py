"""The ledger: balanced, append-only, in commit-safe order, rolled up, sealed and verifiable."""

import logging
from collections.abc import Sequence

import psycopg
import pytest
from psycopg.rows import DictRow

from payments.domain.ledger import Account, Posting, PostingKind
from payments.repositories import events as event_repository
from payments.repositories import ledger
from payments.repositories import ledger_integrity as integrity_repository
from payments.repositories.connection import Connection
from payments.repositories.database import Database
from payments.services import ledger_integrity
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def book(tx: Connection, key: ApiKey, payment_id: str, *, transfer_id: str, amount: int = 1) -> None:
    """A transfer of its own, as if by another attempt of the payment."""
    attempt = f"att_{transfer_id}"
    tx.execute(
        "INSERT INTO attempts (id, merchant_id, livemode, payment_id, kind, processor, deadline_at, next_look_at,"
        " status, settled_at) VALUES (%s, %s, %s, %s, 'payment', 'test', now(), now(), 'settled', now())",
        [attempt, key.merchant_id, key.livemode, payment_id],
    )
    posting = Posting(
        kind=PostingKind.CAPTURE, debit=Account.PROCESSOR_RECEIVABLE, credit=Account.MERCHANT_PAYABLE, amount=amount
    )
    transfer = ledger.NewTransfer(id=transfer_id, currency="EUR", posting=posting)
    ledger.insert(tx, key, [transfer], payment_id=payment_id, attempt_id=attempt)


def test_balances_equal_the_sum_of_entries_at_any_roll_up(client: Client) -> None:
    payment_id = client.json(client.create(amount=1000))["id"]
    client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 300}))
    expected = {"merchant_payable": 671, "platform_fees": 29, "processor_receivable": 700}
    assert client.balances() == expected
    assert ledger_integrity.roll_up(client.context)
    assert client.balances() == expected, "rolled up"
    client.create(amount=1000)
    assert client.balances() == {"merchant_payable": 1642, "platform_fees": 58, "processor_receivable": 1700}, (
        "and a tail"
    )
    while ledger_integrity.roll_up(client.context):
        pass
    assert client.balances()["merchant_payable"] == 1642
    assert ledger_integrity.verify(client.context).problems == []


def test_payable_may_go_negative(client: Client) -> None:
    payment_id = client.json(client.create(amount=1000))["id"]
    client.json(client.post(f"/v1/payments/{payment_id}/refunds"))
    assert client.balances()["merchant_payable"] == -29, "the fee stays taken"


def test_debits_equal_credits_in_every_currency(client: Client) -> None:
    for currency in ("EUR", "JPY", "BHD"):
        client.json(client.create(currency=currency))
    data = client.json(client.get("/v1/balances"))["data"]
    for currency in ("EUR", "JPY", "BHD"):
        rows = [row for row in data if row["currency"] == currency]
        assert sum(row["debits"] for row in rows) == sum(row["credits"] for row in rows) > 0


@pytest.mark.parametrize("reader", ["rollup", "seals", "entries"])
def test_no_cursor_skips_a_transaction_that_commits_late(
    client: Client, postgres: Postgres, database: Database, reader: str
) -> None:
    """Ids are given at the start, commits come in another order: what commits late is still read."""
    payment_id = client.json(client.create())["id"]

    def move() -> None:
        if reader == "rollup":
            ledger_integrity.roll_up(client.context)
        elif reader == "seals":
            ledger_integrity.seal(client.context)

    with database.transaction() as late:
        book(late, client.key, payment_id, transfer_id="tr_early")
        late.flush()
        with database.transaction() as tx:
            book(tx, client.key, payment_id, transfer_id="tr_late")
            tx.commit()
        move()
        seen = [entry["id"] for entry in client.json(client.get("/v1/ledger/entries"))["data"]]
        assert "tr_late" not in seen, "a row is shown once nothing can come before it any more"
        assert client.balances()["processor_receivable"] == 1001, "a balance counts what is committed"
        late.commit()
    move()
    seen = [entry["id"] for entry in client.json(client.get("/v1/ledger/entries"))["data"]]
    assert seen[:2] == ["tr_late", "tr_early"]
    assert client.balances()["processor_receivable"] == 1002
    report = ledger_integrity.verify(client.context)
    assert [problem["problem"] for problem in report.problems] == ["payment_differs"], "the test's own two transfers"
    assert report.sealed_transfers + report.unsealed_transfers == 4


def test_events_are_listed_in_commit_safe_order(client: Client, postgres: Postgres, database: Database) -> None:
    payment = client.json(client.create())
    event = event_repository.NewEvent(
        id="evt_early", type="payment.succeeded", payment_id=payment["id"], sequence=50, api_version="x", body="{}"
    )
    with database.transaction() as late:
        event_repository.insert(late, client.key, event)
        late.flush()
        client.json(client.create())
        assert len(client.json(client.get("/v1/events"))["data"]) == 1
        late.commit()
    assert len(client.json(client.get("/v1/events"))["data"]) == 3


def test_the_sealer_logs_each_head_and_resumes(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_integrity, "_BATCH", 3)
    for _ in range(2):
        client.create()
    report = ledger_integrity.verify(client.context)
    assert (report.sealed_transfers, report.unsealed_transfers, report.head) == (0, 4, None)
    with caplog.at_level(logging.INFO, "payments.ledger"):
        while ledger_integrity.seal(client.context):
            pass
    heads = [record.head for record in caplog.records if record.message == "ledger sealed"]  # type: ignore[attr-defined]  # from `extra`
    report = ledger_integrity.verify(client.context)
    assert (report.seals, report.sealed_transfers, report.unsealed_transfers) == (2, 4, 0)
    assert (len(heads), report.head) == (2, heads[-1])
    assert report.is_sound


def test_one_sealer_at_a_time(client: Client, database: Database) -> None:
    client.create()
    with database.transaction() as tx:
        tx.execute("SELECT pg_advisory_xact_lock(7236402)")
        assert ledger_integrity.seal(client.context) is False
    assert ledger_integrity.seal(client.context) is True


TAMPERING = {
    "a changed amount": "UPDATE ledger_transfers SET amount = amount + 1 WHERE kind = 'capture'",
    "swapped accounts": "UPDATE ledger_transfers SET debit_account = credit_account, credit_account = debit_account",
    "a removed transfer": "DELETE FROM ledger_transfers WHERE kind = 'fee'",
    "a transfer added behind the seals": """
        INSERT INTO ledger_transfers SELECT 'tr_0', xid, merchant_id, livemode, currency, debit_account, credit_account,
            amount, 'added', payment_id, attempt_id, created_at FROM ledger_transfers LIMIT 1""",
    "a moved transfer": "UPDATE ledger_transfers SET created_at = created_at - interval '1 day'",
    "a removed seal": "DELETE FROM ledger_seals WHERE number = 1",
    "a rewritten head": "UPDATE ledger_seals SET hash = decode(repeat('ab', 32), 'hex')",
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_detected(
    client: Client, postgres: Postgres, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_integrity, "_BATCH", 2)
    client.create()
    client.create()
    while ledger_integrity.seal(client.context):
        pass
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)
    report = ledger_integrity.verify(client.context)
    assert not report.is_sound
    assert "seal_differs" in {problem["problem"] for problem in report.problems}


def columns_of_a_transfer(postgres: Postgres) -> dict[str, str]:
    """Every column and its type, from the catalogue: a new one has to be sealed too."""
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = 'ledger_transfers'"
        ).fetchall()
    return dict(rows)


#: Another value of the same type, which every check of the table allows.
_CHANGED = {
    "text": "{0} || 'x'",
    "bigint": "{0} + 1",
    "boolean": "NOT {0}",
    "xid8": "({0}::text::bigint + 1)::text::xid8",
    "timestamp with time zone": "{0} + interval '1 microsecond'",
}
_CHECKED = {"currency": "'USD'", "debit_account": "'suspense'", "credit_account": "'suspense'"}


def test_a_seal_covers_every_column_of_a_transfer(client: Client, postgres: Postgres) -> None:
    client.create()
    ledger_integrity.seal(client.context)
    columns = columns_of_a_transfer(postgres)
    assert len(columns) >= 12
    for column, data_type in columns.items():
        value = _CHECKED.get(column) or _CHANGED[data_type].format(column)
        with psycopg.connect(postgres.superuser, autocommit=True) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM ledger_transfers")
            owner.execute(f"UPDATE ledger_transfers SET {column} = {value} WHERE kind = 'capture'")
            problems = ledger_integrity.verify(client.context).problems
            assert {"problem": "seal_differs", "seal": 1} in problems, column
            owner.execute("DELETE FROM ledger_transfers")
            owner.execute("INSERT INTO ledger_transfers SELECT * FROM kept")
    assert ledger_integrity.verify(client.context).is_sound, "each change was taken back"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE ledger_rollups SET debits = debits + 1 WHERE account = 'processor_receivable'", "rollup_differs"),
        ("DELETE FROM ledger_rollups WHERE account = 'platform_fees'", "rollup_differs"),
        ("UPDATE payments SET amount_refunded = 1", "payment_differs"),
    ],
    ids=["changed", "deleted", "payment"],
)
def test_verify_detects_differing_sums(client: Client, postgres: Postgres, statement: str, problem: str) -> None:
    client.create()
    ledger_integrity.roll_up(client.context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute(statement)
    problems = ledger_integrity.verify(client.context).problems
    assert [found["problem"] for found in problems] == [problem]


def test_verification_sees_one_state_however_long_it_takes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements of the service end after seconds, and each sees what has been committed before it."""
    original = integrity_repository.wrong_payments
    seen: list[DictRow] = []

    def wrong_payments(tx: Connection) -> Sequence[DictRow]:
        seen.extend(
            tx.execute(
                "SELECT current_setting('transaction_isolation') AS isolation,"
                " current_setting('statement_timeout') AS timeout"
            )
        )
        return original(tx)

    monkeypatch.setattr(integrity_repository, "wrong_payments", wrong_payments)
    ledger_integrity.verify(client.context)
    assert seen == [{"isolation": "repeatable read", "timeout": "0"}]


def test_an_outcome_is_posted_once(client: Client, database: Database) -> None:
    payment_id = client.json(client.create())["id"]
    with database.transaction() as tx:
        book(tx, client.key, payment_id, transfer_id="tr_1")
        with pytest.raises(psycopg.errors.UniqueViolation):
            tx.execute(
                "INSERT INTO ledger_transfers (id, merchant_id, livemode, currency, debit_account, credit_account,"
                " amount, kind, payment_id, attempt_id) SELECT 'tr_2', merchant_id, livemode, currency, debit_account,"
                " credit_account, amount, kind, payment_id, attempt_id FROM ledger_transfers WHERE id = 'tr_1'"
            )
