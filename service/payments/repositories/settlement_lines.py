"""Lines of processors' settlement reports, and how they differ from our ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from psycopg.rows import DictRow, class_row

from payments.domain.ids import Prefix, lowest_id_at
from payments.repositories.connection import Connection

_IMPORT_LOCK = 7_236_403
_DAY = timedelta(days=1)


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
    twice shows. Transfers are looked up by their ids, with a day's margin: those carry the time of the service's clock.
    """
    since, until = (datetime.combine(day, time(), UTC) for day in (first, last + _DAY))
    return tx.execute(
        """
        WITH named AS (
            SELECT DISTINCT kind, processor_reference FROM settlement_lines
            WHERE processor = %(processor)s AND livemode = %(livemode)s AND report = %(name)s
        ), compared AS (
            SELECT named.kind, a.merchant_id, a.payment_id, a.operation_id AS refund_id FROM named JOIN attempts a
                ON a.kind = CASE named.kind WHEN 'charge' THEN 'payment' ELSE 'refund' END
                AND a.processor_reference = named.processor_reference
            WHERE a.processor = %(processor)s AND a.livemode = %(livemode)s AND a.kind IN ('payment', 'refund')
            UNION
            SELECT CASE t.kind WHEN 'capture' THEN 'charge' ELSE 'refund' END, t.merchant_id, t.payment_id,
                CASE t.kind WHEN 'refund' THEN a.operation_id END
            FROM ledger_transfers t JOIN attempts a ON a.id = t.attempt_id
            WHERE a.processor = %(processor)s AND t.livemode = %(livemode)s AND t.kind IN ('capture', 'refund')
                AND t.id BETWEEN %(first_id)s AND %(last_id)s AND t.created_at >= %(since)s AND t.created_at < %(until)s
        ), ours AS (
            SELECT c.kind, p.id AS object, p.processor_reference, p.currency, p.amount_captured AS amount
            FROM compared c JOIN payments p
                ON (p.merchant_id, p.livemode, p.id) = (c.merchant_id, %(livemode)s, c.payment_id)
            WHERE c.kind = 'charge' AND p.amount_captured > 0
            UNION ALL
            SELECT c.kind, o.id, o.processor_reference, p.currency, o.amount
            FROM compared c JOIN operations o
                ON (o.merchant_id, o.livemode, o.id) = (c.merchant_id, %(livemode)s, c.refund_id)
            JOIN payments p ON (p.merchant_id, p.livemode, p.id) = (o.merchant_id, o.livemode, o.payment_id)
            WHERE c.kind = 'refund' AND o.status = 'succeeded'
        ), objects AS (
            SELECT kind, processor_reference FROM named UNION SELECT kind, processor_reference FROM ours
        ), theirs AS (
            SELECT kind, processor_reference, currency, sum(amount)::bigint AS amount,
                min(line) FILTER (WHERE report = %(name)s) AS line, array_agg(DISTINCT report) AS reports
            FROM objects JOIN settlement_lines USING (kind, processor_reference)
            WHERE processor = %(processor)s AND livemode = %(livemode)s
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
        {
            "processor": processor,
            "livemode": livemode,
            "name": name,
            "since": since,
            "until": until,
            "first_id": lowest_id_at(Prefix.TRANSFER, since - _DAY),
            "last_id": lowest_id_at(Prefix.TRANSFER, until + _DAY),
        },
    ).fetchall()
