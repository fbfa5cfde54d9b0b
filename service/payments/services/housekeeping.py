"""What keeps tables small and people informed."""

from payments.repositories import idempotency, stuck_attempts
from payments.services.context import Context

_BATCH = 1000


def delete_expired_keys(context: Context) -> bool:
    """Forget final answers whose retention is over, one batch; answers whether there were any."""
    with context.database.transaction() as tx:
        deleted = idempotency.delete_expired(tx, limit=_BATCH)
        tx.commit()
    return deleted > 0


def measure_backlog(context: Context) -> bool:
    """Record how long the oldest attempt has been open, and how many need a person."""
    with context.database.transaction() as tx:
        backlog = stuck_attempts.backlog(tx)
    context.metrics.sample("RecoveryBacklogAge", backlog.oldest_seconds, unit="Seconds")
    context.metrics.sample("StuckAttempts", backlog.stuck, unit="Count")
    return False
