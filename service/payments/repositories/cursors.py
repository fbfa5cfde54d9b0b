"""Cursors: how far each reader of an append-only table has read, in commit-safe order."""

from dataclasses import dataclass

from payments.repositories.database import Connection

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


def move(tx: Connection, name: str, position: Position) -> None:
    """Store that ``name`` has read up to and including ``position``."""
    tx.execute(
        "UPDATE cursors SET xid = %s::xid8, id = %s, moved_at = now() WHERE name = %s",
        [position.xid, position.id, name],
    )
