"""Outbound webhooks: fanning events out to endpoints, delivering messages, disabling endpoints that keep failing."""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from payments.delivery.sender import DeliveryResult, Sender
from payments.domain import webhooks
from payments.domain.ids import Prefix, new_id
from payments.repositories import cursors, webhook_endpoints, webhook_messages
from payments.repositories.database import Connection
from payments.repositories.webhook_messages import ClaimedMessage, Delivery
from payments.services.context import Context

#: How long deliveries and settled messages are kept.
RETENTION = timedelta(days=30)
#: How long a worker holds a message that it claimed; longer than name resolution and the sender's time-out.
LEASE = timedelta(seconds=60)
#: An endpoint that has failed for this long is disabled once a message has exhausted its retries.
DISABLE_AFTER = timedelta(days=3)
CURSOR = "outbox"
_PER_ENDPOINT = 4
_FAN_OUT_EVENTS = 100
#: New message ids per fan-out: enough for the endpoints of any one event.
_FAN_OUT_MESSAGES = 512
_CLEAN_UP_BATCH = 1000
_log = logging.getLogger("payments.webhooks")


def fan_out(context: Context) -> bool:
    """Create the messages of new events, one batch; returns whether there were any. Other workers wait meanwhile."""
    with context.database.transaction() as tx:
        position = cursors.lock(tx, CURSOR)
        now = context.now()
        ids = [new_id(Prefix.WEBHOOK_MESSAGE, now) for _ in range(_FAN_OUT_MESSAGES)]
        reached = webhook_messages.fan_out(tx, position, limit=_FAN_OUT_EVENTS, message_ids=ids)
        if reached is None:
            return False
        cursors.move(tx, CURSOR, reached)
        tx.commit()
    return True


def clean_up(context: Context) -> bool:
    """Delete what is beyond the retention period, one batch; returns whether there was anything."""
    with context.database.transaction() as tx:
        deleted = webhook_messages.delete_old(tx, before=context.now() - RETENTION, limit=_CLEAN_UP_BATCH)
        tx.commit()
    return deleted > 0


def claim_due(context: Context, *, limit: int, busy: Mapping[str, int]) -> Sequence[ClaimedMessage]:
    """Claim up to ``limit`` due messages; ``busy`` counts this worker's deliveries in progress, by endpoint."""
    with context.database.transaction() as tx:
        claimed = webhook_messages.claim_due(tx, limit=limit, per_endpoint=_PER_ENDPOINT, busy=busy, lease=LEASE)
        tx.commit()
    return claimed


def deliver(context: Context, sender: Sender, message: ClaimedMessage) -> None:
    """Send a claimed message once, and record the result and what comes next."""
    result = sender.post(message.url, headers=_headers(context, message), body=message.body.encode())
    attempts = message.attempts + 1
    delay = None if result.delivered else webhooks.retry_delay(attempts, retry_after=result.retry_after)
    status = "delivered" if result.delivered else "failed" if delay is None else "pending"
    delivery = _delivery(context, message, result)
    with context.database.tenant_transaction(message) as tx:
        webhook_messages.log_delivery(tx, message, message.endpoint_id, delivery)
        # The endpoint's row before its messages', as everywhere, so that there are no deadlocks.
        if result.delivered:
            webhook_endpoints.record_success(tx, message, message.endpoint_id)
        else:
            webhook_endpoints.record_failure(tx, message, message.endpoint_id)
            _disable_if_needed(context, tx, message, gone=result.gone, exhausted=delay is None)
        # Without effect if the claim was lost, or the messages of the endpoint are held.
        webhook_messages.settle(tx, message, status=status, attempts=attempts, delay=delay)
        tx.commit()
    _log_result(message, result, status)


def _headers(context: Context, message: ClaimedMessage) -> dict[str, str]:
    now = int(context.now().timestamp())
    secrets = [message.secret, *([message.previous_secret] if message.previous_secret else [])]
    signature = webhooks.sign(secrets, message_id=message.event_id, timestamp=now, body=message.body.encode())
    return {
        "Content-Type": "application/json",
        "webhook-id": message.event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature,
    }


def _delivery(context: Context, message: ClaimedMessage, result: DeliveryResult) -> Delivery:
    now = context.now()
    return Delivery(
        id=new_id(Prefix.WEBHOOK_DELIVERY, now),
        message_id=message.id,
        event_id=message.event_id,
        event_type=message.event_type,
        attempt=message.attempts + 1,
        status_code=result.status,
        error=result.error,
        duration_ms=round(result.duration / timedelta(milliseconds=1)),
        created_at=now,
    )


def _disable_if_needed(
    context: Context, tx: Connection, message: ClaimedMessage, *, gone: bool, exhausted: bool
) -> None:
    """Disable an endpoint that asks for it, or that has failed for as long as a whole retry schedule lasts."""
    if gone:
        reason = "gone"
    elif exhausted and _has_failed_for_long(context, tx, message):
        reason = "failing"
    else:
        return
    if webhook_endpoints.disable(tx, message, message.endpoint_id, reason=reason):
        extra = {"webhook_endpoint": message.endpoint_id, "reason": reason}
        _log.warning("webhook endpoint disabled", extra=extra)


def _has_failed_for_long(context: Context, tx: Connection, message: ClaimedMessage) -> bool:
    endpoint = webhook_endpoints.get(tx, message, message.endpoint_id)
    since = endpoint.failing_since if endpoint else None
    return since is not None and context.now() - since >= DISABLE_AFTER


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
