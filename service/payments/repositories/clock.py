"""The database's clock: the one that times are compared by, since those of processes differ."""

from datetime import datetime

from payments.repositories.connection import Connection


def now(tx: Connection) -> datetime:
    """Return the time at which the transaction began, as the columns that default to it have it."""
    row = tx.execute("SELECT now() AS now").fetchone()
    assert row is not None  # noqa: S101 - without FROM there is one row
    found: datetime = row["now"]
    return found
