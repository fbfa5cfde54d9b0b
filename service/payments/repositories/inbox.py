"""The inbox: what processors told us, each message once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from payments.repositories.database import Connection


@dataclass(frozen=True, kw_only=True)
class PendingEvent:
    """A message whose object was not found among our attempts yet."""

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
    """Keep a message; ``False`` if it is here already."""
    inserted = tx.execute(
        "INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [processor, event_id, livemode, event_type, list(references)],
    )
    return inserted.rowcount == 1


def is_known(tx: Connection, *, processor: str, livemode: bool, references: Sequence[str]) -> bool:
    """Whether an attempt of ours, settled or not, made one of the processor's objects."""
    found = tx.execute(
        "SELECT 1 FROM attempts WHERE processor = %s AND livemode = %s AND kind IN ('payment', 'refund')"
        " AND processor_reference = ANY(%s) LIMIT 1",
        [processor, livemode, list(references)],
    )
    return found.fetchone() is not None


def mark_handled(tx: Connection, *, processor: str, event_id: str) -> None:
    """Nothing more is to be done about a message."""
    tx.execute(
        "UPDATE processor_inbox SET handled_at = now() WHERE processor = %s AND event_id = %s AND handled_at IS NULL",
        [processor, event_id],
    )


def claim_pending(tx: Connection, *, processor: str, limit: int, younger_than: timedelta) -> Sequence[PendingEvent]:
    """Up to ``limit`` messages that are not handled, oldest first, locked; nobody else takes them meanwhile."""
    rows = tx.execute(
        'SELECT event_id, livemode, processor_references AS "references" FROM processor_inbox'
        " WHERE handled_at IS NULL AND processor = %s AND received_at > now() - %s::interval"
        " ORDER BY received_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        [processor, younger_than, limit],
    )
    return [PendingEvent(**row) for row in rows]


def delete_old(tx: Connection, *, older_than: timedelta, limit: int) -> int:
    """Forget up to ``limit`` messages; answers how many."""
    return tx.execute(
        "DELETE FROM processor_inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM processor_inbox"
        " WHERE received_at < now() - %s::interval ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED))",
        [older_than, limit],
    ).rowcount
