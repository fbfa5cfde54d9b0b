"""How far each reader of an append-only table has come: in (xid, id) order, below every running transaction."""

from dataclasses import dataclass

from payments.repositories.database import Connection

#: Condition on an append-only table: no running transaction can still commit a row before this one.
SETTLED = "xid < pg_snapshot_xmin(pg_current_snapshot())"


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in commit-safe order; everything up to it, inclusive, was read."""

    xid: str
    id: str


START = Position(xid="0", id="")


def lock(tx: Connection, name: str) -> Position:
    """The position of reader ``name``, which nobody else moves before this transaction ends."""
    row = tx.execute("SELECT xid::text AS xid, id FROM cursors WHERE name = %s FOR UPDATE", [name]).fetchone()
    if row is None:
        raise LookupError(f"There is no cursor {name!r}; a migration makes it.")
    return Position(**row)


def move(tx: Connection, name: str, position: Position) -> None:
    """Remember that ``name`` has read up to ``position``."""
    tx.execute(
        "UPDATE cursors SET xid = %s::xid8, id = %s, moved_at = now() WHERE name = %s",
        [position.xid, position.id, name],
    )
