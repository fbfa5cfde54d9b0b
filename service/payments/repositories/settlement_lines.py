"""Lines of processors' settlement reports, and how they differ from our ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg.rows import DictRow, class_row

from payments.repositories.connection import Connection

_IMPORT_LOCK = 7_236_403


@dataclass(frozen=True, kw_only=True)
class SettlementLine:
    """A line of a processor's report. ``amount`` and ``fee`` are in minor units of ``currency``."""

    line: int
    kind: str
    reference: str
    currency: str
    amount: int
    fee: int
    settled_on: date


def lock(tx: Connection) -> None:
    """Run one import at a time, until the transaction ends. Imports have no statement time-out."""
    tx.execute("SET LOCAL statement_timeout = 0")
    tx.execute("SELECT pg_advisory_xact_lock(%s)", [_IMPORT_LOCK])


def of_report(tx: Connection, *, processor: str, livemode: bool, name: str) -> Sequence[SettlementLine]:
    """Return the stored lines of a report."""
    with tx.cursor(row_factory=class_row(SettlementLine)) as cursor:
        return cursor.execute(
            "SELECT line, kind, processor_reference AS reference, currency, amount, fee, settled_on"
            " FROM settlement_lines WHERE processor = %s AND livemode = %s AND report = %s ORDER BY line",
            [processor, livemode, name],
        ).fetchall()


def store(tx: Connection, *, processor: str, livemode: bool, name: str, lines: Sequence[SettlementLine]) -> None:
    """Store a report, replacing the stored lines of that name.

    Until the transaction ends, it holds back every reader of events and ledger: hence copied at once.
    """
    tx.execute(
        "DELETE FROM settlement_lines WHERE processor = %s AND livemode = %s AND report = %s",
        [processor, livemode, name],
    )
    with (
        tx.cursor() as cursor,
        cursor.copy(
            "COPY settlement_lines"
            " (processor, livemode, report, line, kind, processor_reference, currency, amount, fee, settled_on)"
            " FROM STDIN"
        ) as copy,
    ):
        for line in lines:
            copy.write_row((processor, livemode, name, *vars(line).values()))


def differences(
    tx: Connection, *, processor: str, livemode: bool, name: str, first: date, last: date
) -> Sequence[DictRow]:
    """Return how a stored report differs from our ledger, in the order of the report's lines.

    Compared are the objects that the report names, and those we posted on the days from ``first`` to ``last``. For each
    of them the sum over all reports must equal ours: partial captures on several days add up, and what was settled
    twice shows.
    """
    return tx.execute(
        """
        WITH named AS (
            SELECT DISTINCT kind, processor_reference FROM settlement_lines
            WHERE processor = %(processor)s AND livemode = %(livemode)s AND report = %(name)s
        ), booked AS (
            SELECT t.kind, t.payment_id, a.operation_id FROM ledger_transfers t JOIN attempts a ON a.id = t.attempt_id
            WHERE a.processor = %(processor)s AND t.livemode = %(livemode)s AND t.kind IN ('capture', 'refund')
                AND (t.created_at AT TIME ZONE 'UTC')::date BETWEEN %(first)s AND %(last)s
        ), ours AS (
            SELECT 'charge' AS kind, id AS object, processor_reference, currency, amount_captured AS amount
            FROM payments WHERE processor = %(processor)s AND livemode = %(livemode)s AND amount_captured > 0
                AND (id IN (SELECT payment_id FROM booked WHERE kind = 'capture')
                    OR processor_reference IN (SELECT processor_reference FROM named WHERE kind = 'charge'))
            UNION ALL
            SELECT 'refund', o.id, o.processor_reference, p.currency, o.amount FROM operations o
            JOIN payments p ON (p.merchant_id, p.livemode, p.id) = (o.merchant_id, o.livemode, o.payment_id)
            WHERE p.processor = %(processor)s AND p.livemode = %(livemode)s
                AND o.kind = 'refund' AND o.status = 'succeeded'
                AND (o.id IN (SELECT operation_id FROM booked WHERE kind = 'refund')
                    OR o.processor_reference IN (SELECT processor_reference FROM named WHERE kind = 'refund'))
        ), theirs AS (
            SELECT kind, processor_reference, currency, sum(amount)::bigint AS amount,
                min(line) FILTER (WHERE report = %(name)s) AS line, array_agg(DISTINCT report) AS reports
            FROM settlement_lines WHERE processor = %(processor)s AND livemode = %(livemode)s
                AND ((kind, processor_reference) IN (SELECT kind, processor_reference FROM named)
                    OR (kind, processor_reference) IN (SELECT kind, processor_reference FROM ours))
            GROUP BY kind, processor_reference, currency
        )
        SELECT CASE WHEN theirs.amount IS NULL THEN 'not_in_the_report'
                WHEN ours.currency <> theirs.currency THEN 'currency_differs'
                WHEN ours.object IS NOT NULL THEN 'amount_differs'
                WHEN EXISTS (SELECT FROM attempts a WHERE a.processor = %(processor)s AND a.livemode <> %(livemode)s
                    AND a.kind = CASE theirs.kind WHEN 'charge' THEN 'payment' ELSE 'refund' END
                    AND a.processor_reference = theirs.processor_reference) THEN 'of_the_other_mode'
                ELSE 'not_in_our_books' END AS difference,
            line, kind, processor_reference AS reference, ours.object, ours.amount AS our_amount,
            theirs.amount AS their_amount, ours.currency AS our_currency, theirs.currency AS their_currency, reports
        FROM theirs FULL JOIN ours USING (kind, processor_reference)
        WHERE (ours.amount, ours.currency) IS DISTINCT FROM (theirs.amount, theirs.currency)
        ORDER BY line NULLS LAST, reference
        """,
        {"processor": processor, "livemode": livemode, "name": name, "first": first, "last": last},
    ).fetchall()
