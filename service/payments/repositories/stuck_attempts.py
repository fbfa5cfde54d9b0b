"""Stuck attempts: open for too long, whichever merchant they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from payments.domain.operations import STUCK_AFTER
from payments.domain.outcomes import Outcome
from payments.repositories.connection import Connection


@dataclass(frozen=True, kw_only=True)
class RecoveryBacklog:
    """How far recovery is behind."""

    #: Age in seconds of the oldest open attempt, 0 without any. A payment that waits for its customer does not count.
    oldest_seconds: float
    stuck: int
    #: Open attempts that the processor refuses for a mistake of ours.
    misconfigured: int


_OPEN = """
    FROM attempts a JOIN payments p
        ON (p.merchant_id, p.livemode, p.id) = (a.merchant_id, a.livemode, a.payment_id)
    WHERE a.status = 'open' AND a.settled_at IS NULL AND NOT (a.kind = 'payment' AND p.status = 'requires_action')
"""


def backlog(tx: Connection) -> RecoveryBacklog:
    """Return the backlog of recovery."""
    row = tx.execute(
        f"""
        SELECT coalesce(extract(epoch FROM clock_timestamp() - min(a.created_at)), 0)::float8 AS oldest,
            count(*) FILTER (WHERE a.created_at < clock_timestamp() - %(stuck_after)s) AS stuck,
            count(*) FILTER (WHERE a.outcome = %(misconfigured)s) AS misconfigured
        {_OPEN}
        """,  # noqa: S608 - constant text only
        {"stuck_after": STUCK_AFTER, "misconfigured": Outcome.MISCONFIGURED},
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row
    return RecoveryBacklog(oldest_seconds=row["oldest"], stuck=row["stuck"], misconfigured=row["misconfigured"])


def list_stuck(tx: Connection) -> Sequence[DictRow]:
    """Return the attempts that have been open for so long that they need a person, oldest first."""
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
