"""Ledger integrity: roll-ups, the hash chain of seals, and the queries that verify them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow, tuple_row

from payments.domain.ledger import Account, PostingKind
from payments.repositories.connection import Connection
from payments.repositories.cursors import STABLE, Position, lock, move


@dataclass(frozen=True, kw_only=True)
class Seal:
    """A link of the chain: the hash over every transfer up to a position."""

    number: int
    upto: Position
    transfers: int
    previous_hash: bytes
    hash: bytes


#: Every column as text, in the order in which they are hashed. A new column requires a new kind of seal.
_SEALED = """
    id, xid::text, merchant_id, livemode::text, currency, debit_account, credit_account, amount::text, kind, payment_id,
    attempt_id, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')
"""
_SELECT_SEALS = "SELECT number, upto_xid::text AS xid, upto_id AS id, transfers, previous_hash, hash FROM ledger_seals"
_ROLLUP = "ledger_rollup"
_SEALER_LOCK = 7_236_402


def roll_up(tx: Connection, *, limit: int) -> int:
    """Add up to ``limit`` transfers after the cursor to the roll-ups; returns how many."""
    start = lock(tx, _ROLLUP)
    row = tx.execute(
        f"""
        WITH batch AS (
            SELECT * FROM ledger_transfers WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND {STABLE}
            ORDER BY xid, id LIMIT %(limit)s),
        sides AS (
            SELECT merchant_id, livemode, currency, debit_account AS account, amount AS debits, 0 AS credits FROM batch
            UNION ALL SELECT merchant_id, livemode, currency, credit_account, 0, amount FROM batch),
        written AS (
            INSERT INTO ledger_rollups AS old (merchant_id, livemode, currency, account, debits, credits)
            SELECT merchant_id, livemode, currency, account, sum(debits), sum(credits) FROM sides
            GROUP BY merchant_id, livemode, currency, account ORDER BY 1, 2, 3, 4
            ON CONFLICT (merchant_id, livemode, currency, account) DO UPDATE
            SET debits = old.debits + EXCLUDED.debits, credits = old.credits + EXCLUDED.credits)
        SELECT xid::text AS xid, id, (SELECT count(*) FROM batch) AS transfers
        FROM batch ORDER BY batch.xid DESC, id DESC LIMIT 1
        """,  # noqa: S608 - column names only
        {"xid": start.xid, "id": start.id, "limit": limit},
    ).fetchone()
    if row is None:
        return 0
    move(tx, _ROLLUP, Position(xid=row["xid"], id=row["id"]))
    return int(row["transfers"])


def use_long_snapshot(tx: Connection) -> None:
    """Give a transaction that has not queried yet one read-only snapshot, without a statement time-out."""
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    tx.execute("SET LOCAL statement_timeout = 0")


def lock_sealer(tx: Connection) -> bool:
    """Become the only sealer until the transaction ends; ``False`` if another one is."""
    row = tx.execute("SELECT pg_try_advisory_xact_lock(%s) AS won", [_SEALER_LOCK]).fetchone()
    return row is not None and bool(row["won"])


def seals(tx: Connection, *, after: int, limit: int) -> Sequence[Seal]:
    """Return up to ``limit`` seals in order, from the one after number ``after``."""
    rows = tx.execute(f"{_SELECT_SEALS} WHERE number > %s ORDER BY number LIMIT %s", [after, limit])
    return [_seal(row) for row in rows]


def last_seal(tx: Connection) -> Seal | None:
    """Return the latest seal, the head of the chain."""
    row = tx.execute(f"{_SELECT_SEALS} ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else _seal(row)


def _seal(row: DictRow) -> Seal:
    return Seal(
        number=row["number"],
        upto=Position(xid=row["xid"], id=row["id"]),
        transfers=row["transfers"],
        previous_hash=bytes(row["previous_hash"]),
        hash=bytes(row["hash"]),
    )


def insert_seal(tx: Connection, seal: Seal) -> None:
    """Append a seal to the chain."""
    tx.execute(
        "INSERT INTO ledger_seals (number, upto_xid, upto_id, transfers, previous_hash, hash)"
        " VALUES (%s, %s::xid8, %s, %s, %s, %s)",
        [seal.number, seal.upto.xid, seal.upto.id, seal.transfers, seal.previous_hash, seal.hash],
    )


def sealed_rows(
    tx: Connection, *, after: Position, upto: Position | None = None, limit: int | None = None
) -> Sequence[tuple[str, ...]]:
    """Return the transfers after a position, as they are hashed.

    They end at ``upto``, by default at the last one that no running transaction can precede; at most ``limit``.
    """
    bound = "(xid, id) <= (%(upto_xid)s::xid8, %(upto_id)s)" if upto else STABLE
    with tx.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(
            f"SELECT {_SEALED} FROM ledger_transfers WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND {bound}"  # noqa: S608 - column names only
            " ORDER BY ledger_transfers.xid, ledger_transfers.id LIMIT %(limit)s",
            {
                "xid": after.xid,
                "id": after.id,
                "upto_xid": upto and upto.xid,
                "upto_id": upto and upto.id,
                "limit": limit,
            },
        ).fetchall()


def count_after(tx: Connection, position: Position) -> int:
    """Return how many transfers come after ``position``."""
    row = tx.execute(
        "SELECT count(*) AS transfers FROM ledger_transfers WHERE (xid, id) > (%s::xid8, %s)",
        [position.xid, position.id],
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row
    return int(row["transfers"])


def transaction_ids_ahead(tx: Connection) -> Sequence[str]:
    """Return the append-only tables that have transaction IDs which this server has not reached yet.

    A dump restores rows and not the server's counter: readers that follow it would skip what is written from now on.
    """
    rows = tx.execute(
        """
        SELECT name FROM (VALUES ('ledger_transfers', (SELECT max(xid) FROM ledger_transfers)),
            ('events', (SELECT max(xid) FROM events))) AS tables (name, latest)
        WHERE latest >= pg_snapshot_xmax(pg_current_snapshot())
        """
    )
    return [str(row["name"]) for row in rows]


def wrong_rollups(tx: Connection) -> Sequence[DictRow]:
    """Return roll-ups that are not the sum of the transfers up to the cursor."""
    return tx.execute(
        """
        WITH position AS (SELECT xid, id FROM cursors WHERE name = 'ledger_rollup'),
        upto AS (SELECT t.* FROM ledger_transfers t, position p WHERE (t.xid, t.id) <= (p.xid, p.id)),
        sums AS (
            SELECT merchant_id, livemode, currency, account, sum(debits) AS debits, sum(credits) AS credits FROM (
                SELECT merchant_id, livemode, currency, debit_account AS account, amount AS debits, 0 AS credits
                FROM upto
                UNION ALL SELECT merchant_id, livemode, currency, credit_account, 0, amount FROM upto) AS sides
            GROUP BY merchant_id, livemode, currency, account)
        SELECT merchant_id, livemode, currency, account FROM sums
        FULL JOIN ledger_rollups AS r USING (merchant_id, livemode, currency, account)
        WHERE (sums.debits, sums.credits) IS DISTINCT FROM (r.debits, r.credits)
        """
    ).fetchall()


def wrong_payments(tx: Connection) -> Sequence[DictRow]:
    """Return payments whose amounts, or the fee on them, differ from what was posted for them."""
    return tx.execute(
        """
        SELECT p.id AS payment, p.amount_captured, p.amount_refunded,
            coalesce(booked.captured, 0)::bigint AS booked_captured,
            coalesce(booked.refunded, 0)::bigint AS booked_refunded, coalesce(booked.fee, 0)::bigint AS booked_fee
        FROM payments p LEFT JOIN (
            SELECT merchant_id, livemode, payment_id, sum(amount) FILTER (WHERE kind = 'capture') AS captured,
                sum(amount) FILTER (WHERE kind = 'fee') AS fee,
                coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0)
                    - coalesce(sum(amount) FILTER (WHERE kind = 'refund_reversal'), 0) AS refunded
            FROM ledger_transfers GROUP BY merchant_id, livemode, payment_id) AS booked
        ON (booked.merchant_id, booked.livemode, booked.payment_id) = (p.merchant_id, p.livemode, p.id)
        WHERE (p.amount_captured, p.amount_refunded, (p.amount_captured * p.fee_basis_points * 2 + 10000) / 20000)
            <> (coalesce(booked.captured, 0), coalesce(booked.refunded, 0), coalesce(booked.fee, 0))
        ORDER BY p.id
        """
    ).fetchall()


def unexplained_transfers(
    tx: Connection, *, accounts: Mapping[PostingKind, tuple[Account, Account]], in_any_currency: Collection[PostingKind]
) -> Sequence[DictRow]:
    """Return transfers that no payment accounts for: one that was forged is sealed like any other.

    Args:
        tx: The transaction.
        accounts: The accounts (debit, credit) of every kind of transfer that exists.
        in_any_currency: The kinds that need not be in the payment's currency.
    """
    return tx.execute(
        """
        WITH known AS (
            SELECT * FROM unnest(%(kinds)s::text[], %(debit)s::text[], %(credit)s::text[]) AS rows (kind, debit, credit)
        )
        SELECT t.id AS transfer FROM ledger_transfers t
        LEFT JOIN attempts a ON (a.merchant_id, a.livemode, a.payment_id, a.id)
            = (t.merchant_id, t.livemode, t.payment_id, t.attempt_id)
        LEFT JOIN payments p ON (p.merchant_id, p.livemode, p.id) = (t.merchant_id, t.livemode, t.payment_id)
        LEFT JOIN known ON known.kind = t.kind
        WHERE known.kind IS NULL OR a.id IS NULL OR p.id IS NULL
            OR (t.debit_account, t.credit_account) <> (known.debit, known.credit)
            OR (t.currency <> p.currency AND t.kind <> ALL(%(in_any_currency)s))
        ORDER BY t.xid, t.id
        """,
        {
            "kinds": list(accounts),
            "in_any_currency": list(in_any_currency),
            "debit": [debit for debit, _ in accounts.values()],
            "credit": [credit for _, credit in accounts.values()],
        },
    ).fetchall()


def wrong_disputes(tx: Connection) -> Sequence[DictRow]:
    """Return disputes that differ from what was posted for them or from the last event about them, in either direction.

    Also found are disputes, attempts, transfers and events of which one of the others is missing. Events tell the time
    in seconds.
    """
    return tx.execute(
        """
        WITH attempted AS (SELECT * FROM attempts WHERE kind = 'dispute'),
        booked AS (
            SELECT merchant_id, livemode, payment_id, attempt_id,
                sum(amount) FILTER (WHERE kind = 'dispute') AS withdrawn,
                sum(amount) FILTER (WHERE kind = 'dispute_reversal') AS returned,
                sum(amount) FILTER (WHERE kind = 'dispute_loss') AS loss,
                sum(amount) FILTER (WHERE kind = 'dispute_loss_reversal') AS loss_reversed,
                sum(amount) FILTER (WHERE kind = 'dispute_fee') AS fee,
                sum(amount) FILTER (WHERE kind = 'dispute_fee_reversal') AS fee_returned,
                string_agg(DISTINCT currency, ' ') FILTER (WHERE kind LIKE 'dispute_fee%') AS fee_currency
            FROM ledger_transfers WHERE kind LIKE 'dispute%' GROUP BY merchant_id, livemode, payment_id, attempt_id),
        told AS (
            SELECT DISTINCT ON (merchant_id, livemode, payment_id, object ->> 'id')
                merchant_id, livemode, payment_id, object ->> 'id' AS id, object
            FROM (SELECT *, body::jsonb #> '{data,object}' AS object FROM events WHERE type LIKE 'dispute.%') AS events
            ORDER BY merchant_id, livemode, payment_id, object ->> 'id', sequence DESC)
        SELECT coalesce(d.id, told.id) AS dispute,
            coalesce(d.payment_id, a.payment_id, b.payment_id, told.payment_id) AS payment
        FROM disputes d
        FULL JOIN attempted a
            ON (a.merchant_id, a.livemode, a.payment_id, a.id, a.processor, a.processor_reference)
            = (d.merchant_id, d.livemode, d.payment_id, d.attempt_id, d.processor, d.processor_reference)
        FULL JOIN booked b ON (b.merchant_id, b.livemode, b.payment_id, b.attempt_id)
            = (a.merchant_id, a.livemode, a.payment_id, a.id)
        FULL JOIN told ON (told.merchant_id, told.livemode, told.payment_id, told.id)
            = (d.merchant_id, d.livemode, d.payment_id, d.id)
        WHERE d.id IS NULL OR a.id IS NULL OR told.id IS NULL
            OR NOT told.object @> jsonb_build_object(
                'status', d.status, 'amount', d.amount, 'currency', d.currency, 'reason', d.reason,
                'respond_by', floor(extract(epoch FROM d.respond_by)),
                'created', floor(extract(epoch FROM d.created_at)),
                'amount_withdrawn', d.amount_withdrawn, 'amount_returned', d.amount_returned)
            OR (d.amount_withdrawn, d.amount_returned, d.fee, d.fee_returned, d.fee_currency,
                CASE WHEN d.status IN ('lost', 'prevented') OR (d.status = 'won' AND d.amount_returned > 0)
                    THEN d.amount_withdrawn - d.amount_returned ELSE 0 END)
            IS DISTINCT FROM (coalesce(b.withdrawn, 0), coalesce(b.returned, 0), coalesce(b.fee, 0),
                coalesce(b.fee_returned, 0), b.fee_currency, coalesce(b.loss, 0) - coalesce(b.loss_reversed, 0))
        ORDER BY 1, 2
        """
    ).fetchall()
