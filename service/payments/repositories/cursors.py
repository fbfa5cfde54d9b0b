"""Cursors: how far each reader of an append-only table has read, in commit-safe order."""

from dataclasses import dataclass

from payments.repositories.connection import Connection

#: Condition on an append-only table: no running transaction can still commit a row that sorts before this one.
STABLE = "xid < pg_snapshot_xmin(pg_current_snapshot())"


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position in commit-safe order, (xid, id)."""

    xid: str
    id: str


START = Position(xid="0", id="")


def lock(tx: Connection, name: str) -> Position:
    """Return the position of the reader ``name``, locked until the transaction ends."""
    row = tx.execute("SELECT xid::text AS xid, id FROM cursors WHERE name = %s FOR UPDATE", [name]).fetchone()
    if row is None:
        raise LookupError(f"The cursor {name!r} does not exist; migrations create cursors.")
    return Position(**row)


def lock_if_free(tx: Connection, name: str) -> Position | None:
    """Return the position of the reader ``name`` as :func:`lock` does; None if another transaction has locked it."""
    statement = "SELECT xid::text AS xid, id FROM cursors WHERE name = %s FOR UPDATE SKIP LOCKED"
    row = tx.execute(statement, [name]).fetchone()
    return None if row is None else Position(**row)


def oldest_unread(tx: Connection) -> float:
    """Return the age in seconds of the oldest event or transfer that its reader has not read; 0 if there is none.

    Rows that cannot be read yet count, because a transaction is open that may still precede them.
    """
    row = tx.execute(
        """
        WITH position (reader, xid, id) AS (
            SELECT name, xid, id FROM cursors
            UNION ALL SELECT 'ledger_sealer', coalesce(upto_xid, '0'), coalesce(upto_id, '')
            FROM (VALUES (1)) AS one LEFT JOIN (
                SELECT upto_xid, upto_id FROM ledger_seals ORDER BY number DESC LIMIT 1) AS last ON true
        ), unread AS (
            SELECT next.created_at FROM position CROSS JOIN LATERAL (
                SELECT created_at FROM events WHERE (events.xid, events.id) > (position.xid, position.id)
                ORDER BY events.xid, events.id LIMIT 1) AS next
            WHERE reader = 'outbox'
            UNION ALL
            SELECT next.created_at FROM position CROSS JOIN LATERAL (
                SELECT created_at FROM ledger_transfers AS transfer
                WHERE (transfer.xid, transfer.id) > (position.xid, position.id)
                ORDER BY transfer.xid, transfer.id LIMIT 1) AS next
            WHERE reader <> 'outbox'
        )
        SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age FROM unread
        """
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row
    return float(row["age"])


def move(tx: Connection, name: str, position: Position) -> None:
    """Store that ``name`` has read up to and including ``position``."""
    tx.execute(
        "UPDATE cursors SET xid = %s::xid8, id = %s, moved_at = now() WHERE name = %s",
        [position.xid, position.id, name],
    )
