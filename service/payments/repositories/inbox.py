"""The inbox: events that processors sent to us, each one once, as a queue of objects to look at.

An open event is known by its state where one is due, and by `handled_at` where its id is known: see `attempts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from psycopg.rows import class_row

from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection


class EventState(StrEnum):
    """What has become of an event."""

    OPEN = "open"
    #: Our books agree with the processor.
    FOLLOWED = "followed"
    NOT_OURS = "not_ours"
    #: The processor holds what cannot be booked: a person has to look.
    UNMAPPED = "unmapped"
    #: A person has dealt with it.
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True)
class ClaimedEvent:
    """An event that the caller deals with until its next look is due."""

    event_id: str
    livemode: bool
    references: list[str]
    #: Looks so far, this one included.
    looks: int


@dataclass(frozen=True, kw_only=True)
class KnownPayment:
    """The payment of ours that an event is about."""

    merchant_id: str
    livemode: bool
    payment_id: str
    #: The processor's id of the payment.
    processor_reference: str | None
    #: Whether the attempt that creates it has no outcome yet.
    open: bool


@dataclass(frozen=True, kw_only=True)
class ListedEvent:
    """An event that needs a person, as on-call commands list it."""

    processor: str
    event_id: str
    livemode: bool
    type: str
    references: list[str]
    state: EventState
    reason: str | None
    looks: int
    received_at: datetime


_KNOWN = """
    SELECT payment.merchant_id, payment.livemode, payment.payment_id, payment.processor_reference,
        payment.status = 'open' AS open
    FROM attempts AS payment
"""


def insert(
    tx: Connection,
    *,
    processor: str,
    event_id: str,
    livemode: bool,
    event_type: str,
    references: Sequence[str],
) -> bool:
    """Store an event; ``False`` if it is stored already."""
    inserted = tx.execute(
        "INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [processor, event_id, livemode, event_type, list(references)],
    )
    return inserted.rowcount == 1


def find_by_reference(
    tx: Connection, *, processor: str, livemode: bool, references: Sequence[str]
) -> KnownPayment | None:
    """Return the payment that one of the processor's objects, a payment or a refund, belongs to."""
    with tx.cursor(row_factory=class_row(KnownPayment)) as cursor:
        return cursor.execute(
            _KNOWN
            + """
            JOIN attempts AS found ON (found.merchant_id, found.livemode, found.payment_id)
                = (payment.merchant_id, payment.livemode, payment.payment_id)
            WHERE payment.kind = 'payment' AND found.kind IN ('payment', 'refund') AND found.processor = %s
                AND found.livemode = %s AND found.processor_reference = ANY(%s)
            ORDER BY found.kind LIMIT 1
            """,
            [processor, livemode, list(references)],
        ).fetchone()


def find_by_payment(
    tx: Connection, *, processor: str, livemode: bool, merchant_id: str, payment_id: str
) -> KnownPayment | None:
    """Return a payment that was made through ``processor``."""
    with tx.cursor(row_factory=class_row(KnownPayment)) as cursor:
        return cursor.execute(
            _KNOWN
            + """
            WHERE payment.kind = 'payment' AND payment.processor = %s AND payment.livemode = %s
                AND payment.merchant_id = %s AND payment.payment_id = %s
            """,
            [processor, livemode, merchant_id, payment_id],
        ).fetchone()


def merchant_exists(tx: Connection, merchant_id: str) -> bool:
    """Return whether this is a merchant of ours."""
    return tx.execute("SELECT 1 FROM merchants WHERE id = %s", [merchant_id]).fetchone() is not None


def claim_due(tx: Connection, *, processor: str, limit: int, lease: timedelta) -> Sequence[ClaimedEvent]:
    """Claim up to ``limit`` due events of ``processor``; others see them again after ``lease``."""
    with tx.cursor(row_factory=class_row(ClaimedEvent)) as cursor:
        return cursor.execute(
            """
            UPDATE processor_inbox SET next_look_at = clock_timestamp() + %(lease)s, looks = looks + 1
            WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM processor_inbox
                WHERE processor = %(processor)s AND state = 'open' AND next_look_at <= now()
                ORDER BY next_look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
            RETURNING event_id, livemode, processor_references AS references, looks
            """,
            {"processor": processor, "limit": limit, "lease": lease},
        ).fetchall()


def finish(
    tx: Connection, *, processor: str, event_ids: Sequence[str], state: EventState, reason: str | None = None
) -> None:
    """Record what has become of open events."""
    tx.execute(
        "UPDATE processor_inbox SET state = %s, reason = %s, handled_at = now()"
        " WHERE processor = %s AND event_id = ANY(%s) AND handled_at IS NULL",
        [state, reason, processor, list(event_ids)],
    )


def look_again(tx: Connection, *, processor: str, event_ids: Sequence[str], delay: timedelta, reason: str) -> None:
    """Look at open events again after ``delay``."""
    tx.execute(
        "UPDATE processor_inbox SET next_look_at = clock_timestamp() + %s, reason = %s"
        " WHERE processor = %s AND event_id = ANY(%s) AND handled_at IS NULL",
        [delay, reason, processor, list(event_ids)],
    )


def unmapped_about(tx: Connection, *, processor: str, livemode: bool, references: Sequence[str]) -> Sequence[str]:
    """Return the ids of the unmapped events that name one of the processor's objects."""
    rows = tx.execute(
        "SELECT event_id FROM processor_inbox WHERE processor = %s AND livemode = %s AND state = 'unmapped'"
        " AND processor_references && %s",
        [processor, livemode, list(references)],
    )
    return [row["event_id"] for row in rows]


def heal(tx: Connection, *, processor: str, event_ids: Sequence[str]) -> None:
    """Mark unmapped events as followed."""
    tx.execute(
        "UPDATE processor_inbox SET state = 'followed', reason = NULL, handled_at = now()"
        " WHERE processor = %s AND event_id = ANY(%s) AND state = 'unmapped'",
        [processor, list(event_ids)],
    )


def reopen(tx: Connection, *, event_id: str) -> bool:
    """Look at an unmapped event once more, now; ``False`` if there is no such event."""
    changed = tx.execute(
        "UPDATE processor_inbox SET state = 'open', looks = 0, next_look_at = now(), handled_at = NULL"
        " WHERE event_id = %s AND state IN ('open', 'unmapped')",
        [event_id],
    )
    return changed.rowcount > 0


def resolve(tx: Connection, *, event_id: str) -> bool:
    """Mark an event that cannot be mapped as dealt with; ``False`` if there is no such event."""
    changed = tx.execute(
        "UPDATE processor_inbox SET state = 'resolved', handled_at = now()"
        " WHERE event_id = %s AND state IN ('open', 'unmapped')",
        [event_id],
    )
    return changed.rowcount > 0


_UNMAPPED = "(state = 'unmapped' OR (state = 'open' AND received_at < clock_timestamp() - %s::interval))"


def list_unmapped(tx: Connection, *, stuck_after: timedelta) -> Sequence[ListedEvent]:
    """Return the events that need a person, oldest first: unmapped, or open for longer than ``stuck_after``."""
    with tx.cursor(row_factory=class_row(ListedEvent)) as cursor:
        return cursor.execute(
            f"""
            SELECT processor, event_id, livemode, type, processor_references AS references, state, reason, looks,
                received_at
            FROM processor_inbox WHERE {_UNMAPPED} ORDER BY received_at
            """,  # noqa: S608 - constant text
            [stuck_after],
        ).fetchall()


def count_unmapped(tx: Connection, *, stuck_after: timedelta) -> int:
    """Return how many events :func:`list_unmapped` lists."""
    row = tx.execute(
        f"SELECT count(*) AS events FROM processor_inbox WHERE {_UNMAPPED}",  # noqa: S608 - constant text
        [stuck_after],
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row
    return int(row["events"])


def delete_old(tx: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete up to ``limit`` events that were dealt with; returns how many."""
    return tx.execute(
        "DELETE FROM processor_inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM processor_inbox"
        " WHERE received_at < now() - %s::interval AND state NOT IN ('open', 'unmapped')"
        " ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED))",
        [older_than, limit],
    ).rowcount


def enqueue_refused(tx: Connection, tenant: TenantScope, *, processor: str, attempt_id: str, reference: str) -> None:
    """Have a payment looked at because its processor refused an operation: something may have been done elsewhere."""
    tx.queue(
        "INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references)"
        " VALUES (%(processor)s, %(attempt_id)s, %(livemode)s, 'operation.refused', ARRAY[%(reference)s])"
        " ON CONFLICT DO NOTHING",
        {"processor": processor, "attempt_id": attempt_id, "livemode": tenant.livemode, "reference": reference},
    )
