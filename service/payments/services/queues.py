"""The queues that the worker serves."""

from payments.repositories import queues
from payments.services.context import Context


def due(context: Context) -> set[str]:
    """Return the names of the queues in which something is due, see :func:`payments.repositories.queues.due`."""
    with context.database.transaction() as tx:
        found = queues.due(tx)
        tx.commit()  # in the same round trip
    return {row["queue"] for row in found.all()}
