"""Housekeeping: keeps tables small, and measures how far the worker is behind."""

from payments.repositories import cursors, fan_out, idempotency, stuck_attempts, webhook_messages
from payments.services.context import Context

_BATCH = 1000


def delete_expired_keys(context: Context) -> bool:
    """Delete Idempotency-Keys whose final response has expired, one batch; returns whether there were any."""
    with context.database.transaction() as tx:
        deleted = idempotency.delete_expired(tx, limit=_BATCH)
        tx.commit()
    return deleted > 0


def measure_backlog(context: Context) -> bool:
    """Record the age of the oldest open attempt, and how many attempts need a person."""
    with context.database.transaction() as tx:
        backlog = stuck_attempts.backlog(tx)
    context.metrics.sample("RecoveryBacklogAge", backlog.oldest_seconds, unit="Seconds")
    context.metrics.sample("StuckAttempts", backlog.stuck, unit="Count")
    context.metrics.sample("MisconfiguredAttempts", backlog.misconfigured, unit="Count")
    return False


def measure_webhook_backlog(context: Context) -> bool:
    """Record how many webhook messages are due and events not fanned out yet, and for how long."""
    with context.database.transaction() as tx:
        due, queued = webhook_messages.backlog(tx), fan_out.backlog(tx)
    context.metrics.sample("WebhookBacklog", due.messages + queued.events, unit="Count")
    context.metrics.sample("WebhookBacklogAge", max(due.oldest_age, queued.oldest_age), unit="Seconds")
    return False


def measure_readers(context: Context) -> bool:
    """Record for how long the readers of events and ledger have had something unread, whatever holds them back."""
    with context.database.transaction() as tx:
        age = cursors.oldest_unread(tx)
    context.metrics.sample("OldestUnreadAge", age, unit="Seconds")
    return False
