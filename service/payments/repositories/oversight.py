"""What people on call look at: open attempts, of whichever merchant, and processors' reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg.rows import DictRow

from payments.domain.operations import STUCK_AFTER
from payments.repositories.database import Connection


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """How far recovery is behind."""

    #: Age of the oldest attempt whose outcome is open, 0 without any. A payment that waits for its customer is not.
    oldest_seconds: float
    stuck: int


_OPEN = """
    FROM attempts a JOIN payments p
        ON (p.merchant_id, p.livemode, p.id) = (a.merchant_id, a.livemode, a.payment_id)
    WHERE a.status = 'open' AND a.settled_at IS NULL AND NOT (a.kind = 'payment' AND p.status = 'requires_action')
"""


def backlog(tx: Connection) -> Backlog:
    """See :class:`Backlog`."""
    row = tx.execute(
        f"""
        SELECT coalesce(extract(epoch FROM clock_timestamp() - min(a.created_at)), 0)::float8 AS oldest,
            count(*) FILTER (WHERE a.created_at < clock_timestamp() - %s) AS stuck
        {_OPEN}
        """,  # noqa: S608  # text of ours
        [STUCK_AFTER],
    ).fetchone()
    assert row is not None  # noqa: S101  # an aggregate answers a row
    return Backlog(oldest_seconds=row["oldest"], stuck=row["stuck"])


def stuck(tx: Connection) -> Sequence[DictRow]:
    """Attempts that are open for so long that a person must look."""
    return tx.execute(
        f"""
        SELECT a.id AS attempt, a.kind, a.merchant_id, a.livemode, a.payment_id AS payment, a.operation_id AS operation,
            a.processor, a.processor_reference, p.amount, p.currency, a.outcome, a.looks,
            coalesce(a.stuck_reason, 'not looked at: is its processor configured, and does a worker run?') AS reason,
            a.created_at, a.next_look_at
        {_OPEN} AND a.created_at < clock_timestamp() - %s ORDER BY a.created_at
        """,
        [STUCK_AFTER],
    ).fetchall()


@dataclass(frozen=True, kw_only=True)
class SettlementLine:
    """A line of a processor's report, in minor units."""

    line: int
    kind: str
    reference: str
    currency: str
    amount: int
    fee: int
    settled_on: date


def import_lines(
    tx: Connection, *, processor: str, livemode: bool, report: str, lines: Sequence[SettlementLine]
) -> None:
    """Store a report's lines; one that is stored already stays as it was."""
    with tx.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO settlement_lines (processor, livemode, report, line, kind, processor_reference, currency,"
            " amount, fee, settled_on) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (
                    processor,
                    livemode,
                    report,
                    line.line,
                    line.kind,
                    line.reference,
                    line.currency,
                    line.amount,
                    line.fee,
                    line.settled_on,
                )
                for line in lines
            ],
        )


_OURS = """
    SELECT 'charge' AS kind, id AS object, processor_reference, currency, amount_captured AS amount, created_at
    FROM payments WHERE processor = %(processor)s AND livemode = %(livemode)s AND amount_captured > 0
    UNION ALL
    SELECT 'refund', o.id, o.processor_reference, p.currency, o.amount, o.created_at
    FROM operations o JOIN payments p ON (p.merchant_id, p.livemode, p.id) = (o.merchant_id, o.livemode, o.payment_id)
    WHERE p.processor = %(processor)s AND p.livemode = %(livemode)s AND o.kind = 'refund' AND o.status = 'succeeded'
"""


def differences(tx: Connection, *, processor: str, livemode: bool, report: str) -> Sequence[DictRow]:
    """Where a stored report and our books disagree.

    Ours that the report lacks are those made on the days that the report covers and in no report at all.
    """
    return tx.execute(
        f"""
        WITH theirs AS (
            SELECT kind, processor_reference, min(currency) AS currency, sum(amount)::bigint AS amount,
                min(line) AS line FROM settlement_lines
            WHERE processor = %(processor)s AND livemode = %(livemode)s AND report = %(report)s
            GROUP BY kind, processor_reference),
        days AS (
            SELECT min(settled_on) AS first, max(settled_on) AS last FROM settlement_lines
            WHERE processor = %(processor)s AND livemode = %(livemode)s AND report = %(report)s),
        ours AS ({_OURS})
        SELECT CASE WHEN ours.object IS NULL THEN 'not_in_our_books'
                WHEN ours.currency <> theirs.currency THEN 'currency_differs' ELSE 'amount_differs' END AS difference,
            theirs.line, theirs.kind, theirs.processor_reference AS reference, ours.object,
            ours.amount AS our_amount, theirs.amount AS their_amount, ours.currency AS our_currency,
            theirs.currency AS their_currency
        FROM theirs LEFT JOIN ours USING (kind, processor_reference)
        WHERE ours.object IS NULL OR (ours.amount, ours.currency) <> (theirs.amount, theirs.currency)
        UNION ALL
        SELECT 'not_in_the_report', NULL, ours.kind, ours.processor_reference, ours.object, ours.amount, NULL,
            ours.currency, NULL
        FROM ours, days
        WHERE (ours.created_at AT TIME ZONE 'UTC')::date BETWEEN days.first AND days.last
            AND NOT EXISTS (
                SELECT 1 FROM settlement_lines l WHERE l.processor = %(processor)s AND l.livemode = %(livemode)s
                    AND l.kind = ours.kind AND l.processor_reference = ours.processor_reference)
        ORDER BY line NULLS LAST, reference
        """,  # noqa: S608
        {"processor": processor, "livemode": livemode, "report": report},
    ).fetchall()
