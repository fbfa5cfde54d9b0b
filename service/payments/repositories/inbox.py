"""The inbox: events that processors sent to us, each one once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from payments.repositories.database import Connection


@dataclass(frozen=True, kw_only=True)
class UnmatchedEvent:
    """A processor's event about an object that none of our attempts is known to have created yet."""

    event_id: str
    livemode: bool
    references: list[str]


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


def is_known(tx: Connection, *, processor: str, livemode: bool, references: Sequence[str]) -> bool:
    """Return whether one of our attempts, settled or not, created one of the processor's objects."""
    found = tx.execute(
        "SELECT 1 FROM attempts WHERE processor = %s AND livemode = %s AND kind IN ('payment', 'refund')"
        " AND processor_reference = ANY(%s) LIMIT 1",
        [processor, livemode, list(references)],
    )
    return found.fetchone() is not None


def mark_handled(tx: Connection, *, processor: str, event_id: str) -> None:
    """Mark an event as handled."""
    tx.execute(
        "UPDATE processor_inbox SET handled_at = now() WHERE processor = %s AND event_id = %s AND handled_at IS NULL",
        [processor, event_id],
    )


def lock_unmatched(tx: Connection, *, processor: str, limit: int, max_age: timedelta) -> Sequence[UnmatchedEvent]:
    """Lock and return up to ``limit`` events that are not handled, oldest first; other workers skip them."""
    rows = tx.execute(
        'SELECT event_id, livemode, processor_references AS "references" FROM processor_inbox'
        " WHERE handled_at IS NULL AND processor = %s AND received_at > now() - %s::interval"
        " ORDER BY received_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        [processor, max_age, limit],
    )
    return [UnmatchedEvent(**row) for row in rows]


def delete_old(tx: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete up to ``limit`` events; returns how many."""
    return tx.execute(
        "DELETE FROM processor_inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM processor_inbox"
        " WHERE received_at < now() - %s::interval ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED))",
        [older_than, limit],
    ).rowcount
