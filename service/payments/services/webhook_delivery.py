"""Outbound webhooks: fanning events out to endpoints, delivering messages, disabling endpoints that keep failing."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from payments.delivery.sender import DeliveryResult, Sender
from payments.domain import webhooks
from payments.domain.ids import Prefix, new_id
from payments.repositories import cursors, webhook_endpoints, webhook_messages
from payments.repositories import fan_out as queue
from payments.repositories.connection import Connection
from payments.repositories.webhook_messages import ClaimedMessage, Delivery, InFlight
from payments.services.context import Context

#: How long deliveries and settled messages are kept.
RETENTION = timedelta(days=30)
#: How long a worker holds a message that it claimed; longer than name resolution and the sender's time-out.
LEASE = timedelta(seconds=60)
#: An endpoint that has taken nothing for this long is disabled. Not only once a message has used its retries up: one
#: that hangs, and is tried with one message at a time, may get more new ones than it can be tried with.
DISABLE_AFTER = timedelta(days=3)
CURSOR = "outbox"
#: Deliveries to one endpoint at once, per worker.
_PER_ENDPOINT = 4
#: Of a worker's free deliveries, a merchant's are at most this fraction (1 / n) of what is then still free.
_SHARE = 8
#: What one pass of the fan-out does: events to look at, merchants to serve, and messages to create for each of them.
_FAN_OUT_EVENTS, _FAN_OUT_MERCHANTS, _FAN_OUT_MESSAGES = 1000, 32, 16
_CLEAN_UP_BATCH = 1000
_log = logging.getLogger("payments.webhooks")


def fan_out(context: Context, *, created: Callable[[], None] = lambda: None) -> bool:
    """Create messages of new events, a share for each merchant; returns whether there may be more.

    While another worker does so, there is nothing to do. ``created`` is called once there are messages to deliver.
    """
    with context.database.transaction() as tx:
        position = cursors.lock_if_free(tx, CURSOR)
        if position is None:
            return False
        reached = queue.enqueue(tx, position, limit=_FAN_OUT_EVENTS)
        found = queue.dequeue(tx, reached or position, merchants=_FAN_OUT_MERCHANTS, messages=_FAN_OUT_MESSAGES)
        if reached is not None:
            cursors.move(tx, CURSOR, reached)
        if found:
            webhook_endpoints.lock_for_messages(tx, [each.endpoint_id for each in found])
            webhook_messages.insert(tx, found)
        tx.commit()
    if found:
        created()
    return reached is not None or found is not None


def move_messages(context: Context) -> bool:
    """Have more messages follow an endpoint that was switched or deleted; returns whether there was one."""
    with context.database.transaction() as tx:
        found = webhook_endpoints.move_more_messages(tx)
        tx.commit()
    return found


def clean_up(context: Context) -> bool:
    """Delete what is beyond the retention period, one batch; returns whether there was anything."""
    with context.database.transaction() as tx:
        deleted = webhook_messages.delete_old(tx, age=RETENTION, limit=_CLEAN_UP_BATCH)
        tx.commit()
    return deleted > 0


def claim_due(context: Context, *, free: int, in_flight: InFlight) -> Sequence[ClaimedMessage]:
    """Claim due messages for a worker that can begin ``free`` more deliveries, a share for each merchant."""
    with context.database.transaction() as tx:
        claimed = webhook_messages.claim_due(
            tx, free=free, per_endpoint=_PER_ENDPOINT, share=_SHARE, in_flight=in_flight, lease=LEASE
        )
        tx.commit()
    return claimed


def send(sender: Sender, message: ClaimedMessage) -> DeliveryResult:
    """Send a claimed message once.

    A defect of our own that one message brings to light is a failure of this message: it is retried by the schedule,
    seen in the log of deliveries, and given up in the end.
    """
    started = time.monotonic()
    try:
        return sender.post(message.url, headers=_headers(message), body=message.body.encode())
    except Exception:  # noqa: BLE001 - logged with its traceback
        extra = {"webhook_message": message.id, "payment_id": message.payment_id}
        _log.exception("webhook message could not be sent", extra=extra)
        duration = timedelta(seconds=time.monotonic() - started)
        return DeliveryResult(status=None, error="The message could not be sent.", duration=duration)


def record(context: Context, message: ClaimedMessage, result: DeliveryResult) -> None:
    """Record the result of a delivery and what comes next."""
    attempts = message.attempts + 1
    delay = None if result.delivered else webhooks.retry_delay(attempts, retry_after=result.retry_after)
    status = "delivered" if result.delivered else "failed" if delay is None else "pending"
    with context.database.tenant_transaction(message) as tx:
        webhook_messages.log_delivery(tx, message, message.endpoint_id, _delivery(message, result))
        # The endpoint's row before its messages', as everywhere, so that there are no deadlocks.
        if result.delivered:
            webhook_endpoints.record_success(tx, message, message.endpoint_id)
        else:
            webhook_endpoints.record_failure(tx, message, message.endpoint_id)
            _disable_if_needed(tx, message, gone=result.gone)
        # What an endpoint has not taken that is disabled or deleted now follows it, like its other messages.
        if result.delivered or webhook_endpoints.is_enabled(tx, message, message.endpoint_id):
            webhook_messages.settle(tx, message, status=status, attempts=attempts, delay=delay)
        tx.commit()
    _log_result(message, result, status)


def _headers(message: ClaimedMessage) -> dict[str, str]:
    """Return the signed headers, with the database's time: receivers reject what their own clock finds too old."""
    now = int(message.claimed_at.timestamp())
    secrets = [message.secret, *([message.previous_secret] if message.previous_secret else [])]
    return webhooks.signed_headers(secrets, message_id=message.event_id, timestamp=now, body=message.body.encode())


def _delivery(message: ClaimedMessage, result: DeliveryResult) -> Delivery:
    ended = message.claimed_at + result.duration  # the database's time, without asking it again
    return Delivery(
        id=new_id(Prefix.WEBHOOK_DELIVERY, ended),
        message_id=message.id,
        event_id=message.event_id,
        event_type=message.event_type,
        attempt=message.attempts + 1,
        status_code=result.status,
        error=result.error,
        duration_ms=round(result.duration / timedelta(milliseconds=1)),
        created_at=ended,
    )


def _disable_if_needed(tx: Connection, message: ClaimedMessage, *, gone: bool) -> None:
    """Disable an endpoint that asks for it, or that has failed for too long."""
    if gone:
        reason = "gone"
    elif webhook_endpoints.has_failed_for(tx, message, message.endpoint_id, DISABLE_AFTER):
        reason = "failing"
    else:
        return
    if webhook_endpoints.disable(tx, message, message.endpoint_id, reason=reason):
        webhook_endpoints.move_messages(tx, message, message.endpoint_id)
        extra = {"webhook_endpoint": message.endpoint_id, "reason": reason}
        _log.warning("webhook endpoint disabled", extra=extra)


def _log_result(message: ClaimedMessage, result: DeliveryResult, status: str) -> None:
    _log.info(
        "webhook %s",
        status,
        extra={
            "webhook_endpoint": message.endpoint_id,
            "event": message.event_id,
            "event_type": message.event_type,
            "merchant_id": message.merchant_id,
            "payment_id": message.payment_id,
            "status_code": result.status,
            "reason": result.error,
        },
    )
