"""Whoever can do everything in the database cannot change a dispute, or what was posted for it, without being found.

The attacker is a superuser with triggers disabled, who reseals and rolls up what was forged, as the worker would.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from payments.domain.ledger import ACCOUNTS, PostingKind
from payments.repositories.database import Database
from payments.services import ledger_integrity
from tests.proof.tampering import changed, columns, owning, put_back
from tests.service.elsewhere import Shop
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_dashboard import DISPUTE_FEE, StripeDashboard
from tests.service.processors.stripe_standin import stripe_standin

_TABLES = ("disputes", "attempts", "events", "ledger_transfers", "ledger_seals", "ledger_rollups", "cursors")
#: Written by the database, for people.
_NOT_COVERED = {"updated_at"}
#: Events tell the time in seconds, so a change is of seconds: of as many as `changed` is given millions.
_SECONDS = 5_000_000


@pytest.fixture
def shop(database: Database, key: ApiKey, postgres: Postgres) -> Iterator[Shop]:
    """One dispute of each course: open, inquiry, won, won with its fee, lost, partly returned, fee in dollars."""
    with stripe_standin(StripeDashboard()) as stripe:
        assert isinstance(stripe, StripeDashboard)
        shop = Shop(database, key, postgres, stripe)

        def open_dispute(amount: int | None = None, **fields: object) -> str:
            return stripe.open_dispute(shop.buy()[1], amount, **fields)  # type: ignore[arg-type]  # as it takes them

        open_dispute(400)
        open_dispute(status="warning_needs_response", withdraw=False)
        won, fee_returned, lost, partly, dollars = [open_dispute() for _ in range(4)] + [open_dispute(withdraw=False)]
        stripe.reinstate(won)
        stripe.reinstate(fee_returned, fee=-DISPUTE_FEE)
        stripe.reinstate(partly, 300)
        stripe.withdraw(dollars, currency="usd", amount=-1100)
        for dispute, end in ((won, "won"), (fee_returned, "won"), (lost, "lost"), (partly, "lost")):
            stripe.move_dispute(dispute, end)
        shop.deliver()
        assert shop.unmapped() == []
        assert problems(shop) == []
        yield shop


def problems(shop: Shop) -> list[str]:
    """Return what `payments ledger verify` finds, after the worker has sealed and rolled up all there is."""
    while ledger_integrity.seal(shop.context) | ledger_integrity.roll_up(shop.context):
        pass
    return [str(problem["problem"]) for problem in ledger_integrity.verify(shop.context).problems]


def ids(owner: psycopg.Connection, table: str, where: str = "true") -> list[str]:
    return [row[0] for row in owner.execute(f"SELECT id FROM {table} WHERE {where} ORDER BY id")]


def test_each_column_of_each_dispute_is_covered(shop: Shop) -> None:
    with owning(shop.postgres, _TABLES) as owner:
        missed = set()
        for dispute in ids(owner, "disputes"):
            for column, kind in columns(owner, "disputes"):
                change = sql.SQL("UPDATE disputes SET {} = {} WHERE id = %s AND {} IS DISTINCT FROM {}")
                name, value = sql.SQL(column), changed(column, kind, _SECONDS if "time" in kind else 1)
                try:
                    altered = owner.execute(change.format(name, value, name, value), [dispute]).rowcount
                except psycopg.errors.CheckViolation:
                    continue  # even the owner cannot
                if altered and not problems(shop):
                    missed.add(column)
                put_back(owner, "disputes")
        assert missed == _NOT_COVERED


@pytest.mark.parametrize("status", ["needs_response", "under_review", "won", "lost", "prevented", "warning_closed"])
def test_another_state_is_found(shop: Shop, status: str) -> None:
    with owning(shop.postgres, _TABLES) as owner:
        for dispute in ids(owner, "disputes", f"status <> '{status}'"):
            owner.execute("UPDATE disputes SET status = %s WHERE id = %s", [status, dispute])
            assert problems(shop) == ["dispute_differs"]
            put_back(owner, "disputes")


#: What there is about a dispute, besides its transfers.
ROWS = {
    "the dispute": "DELETE FROM disputes WHERE id = '{dispute}'",
    "its attempt": "DELETE FROM attempts WHERE id = '{attempt}'",
    "its events": "DELETE FROM events WHERE payment_id = '{payment}' AND type LIKE 'dispute.%'",
}


@pytest.mark.parametrize("removal", ROWS.values(), ids=ROWS)
def test_a_removed_row_is_found(shop: Shop, removal: str) -> None:
    with owning(shop.postgres, _TABLES) as owner:
        rows = owner.execute("SELECT id, attempt_id, payment_id FROM disputes").fetchall()
        for dispute, attempt, payment in rows:
            text = removal.format(dispute=dispute, attempt=attempt, payment=payment)
            assert owner.execute(sql.SQL(text)).rowcount > 0
            assert "dispute_differs" in problems(shop)
            for table in _TABLES:
                put_back(owner, table)


@pytest.mark.parametrize("attempt", [False, True], ids=["alone", "with an attempt"])
def test_an_inserted_dispute_is_found(shop: Shop, attempt: bool) -> None:
    """Also one that has moved nothing: no event told of it."""
    with owning(shop.postgres, _TABLES) as owner:
        for dispute in ids(owner, "disputes"):
            for table, row in (("disputes", f"id = '{dispute}'"), ("attempts", "kind = 'dispute'"))[: 1 + attempt]:
                owner.execute(f"CREATE TEMPORARY TABLE copied AS SELECT * FROM {table} WHERE {row} LIMIT 1")
                key = "id = 'dp_0', attempt_id = 'att_0'" if table == "disputes" else "id = 'att_0'"
                owner.execute(f"UPDATE copied SET {key}, processor_reference = 'du_0'")
                owner.execute(f"INSERT INTO {table} SELECT * FROM copied; DROP TABLE copied")
            assert set(problems(shop)) == {"dispute_differs"}
            for table in _TABLES:
                put_back(owner, table)


_DISPUTE_KINDS = [kind for kind in PostingKind if kind.startswith("dispute")]


@pytest.mark.parametrize("kind", _DISPUTE_KINDS)
@pytest.mark.parametrize("attempts", ["dispute", "payment"])
def test_a_forged_transfer_is_found(shop: Shop, attempts: str, kind: PostingKind) -> None:
    """Between the right accounts, sealed and rolled up like any other, on each attempt that has none of its kind."""
    with owning(shop.postgres, _TABLES) as owner:
        free = f"kind = '{attempts}' AND id NOT IN (SELECT attempt_id FROM ledger_transfers WHERE kind = '{kind}')"
        found = ids(owner, "attempts", free)
        assert found
        for attempt in found:
            owner.execute(
                "INSERT INTO ledger_transfers (id, merchant_id, livemode, currency, amount, payment_id, attempt_id,"
                " kind, debit_account, credit_account) SELECT 'tr_zz', merchant_id, livemode, 'EUR', 7, payment_id, id,"
                " %s, %s, %s FROM attempts WHERE id = %s",
                [kind, *ACCOUNTS[kind], attempt],
            )
            assert problems(shop) == ["dispute_differs"]
            for table in _TABLES:
                put_back(owner, table)
