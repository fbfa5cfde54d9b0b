"""The worker's part of outbound webhooks: fan events out, deliver what is due, give up what nobody takes."""

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from payments.delivery.sender import DeliveryResult, Sender
from payments.domain import webhooks as domain
from payments.domain.ids import Prefix, new_id
from payments.repositories import cursors, webhook_endpoints, webhook_messages
from payments.repositories.database import Connection
from payments.repositories.webhook_messages import ClaimedMessage, Delivery
from payments.services.context import Context

#: How long deliveries and settled messages are kept.
RETENTION = timedelta(days=30)
#: A worker that claimed a message must be done, or dead, within this; above the sender's time-out and name resolution.
LEASE = timedelta(seconds=60)
#: An endpoint that took nothing for this long is disabled when a message has used its schedule up.
GIVE_UP_AFTER = timedelta(days=3)
CURSOR = "outbox"
_THREADS = 16
_PER_ENDPOINT = 4
_FAN_OUT_EVENTS = 100
#: New message ids per fan-out: every event's endpoints fit.
_FAN_OUT_MESSAGES = 512
_CLEAN_UP = 1000
_log = logging.getLogger("payments.webhooks")


def fan_out(context: Context) -> bool:
    """Make messages of new events; ``True`` if there were any. One worker at a time does it, the others wait."""
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
    """Forget what is older than the retention; ``True`` if there was something."""
    with context.database.transaction() as tx:
        deleted = webhook_messages.delete_old(tx, before=context.now() - RETENTION, limit=_CLEAN_UP)
        tx.commit()
    return deleted > 0


class Deliverer:
    """Delivers due messages on threads of its own, so that a receiver that hangs holds up one thread and no other."""

    def __init__(self, context: Context, sender: Sender, *, threads: int = _THREADS) -> None:
        self._context = context
        self._sender = sender
        self._threads = threads
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="webhook")
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    def run(self) -> bool:
        """Start delivering what is due, as far as threads are free; ``True`` if something was started."""
        with self._lock:
            busy = dict(self._busy)
        free = self._threads - sum(busy.values())
        if free <= 0:
            return False
        with self._context.database.transaction() as tx:
            claimed = webhook_messages.claim_due(tx, limit=free, per_endpoint=_PER_ENDPOINT, busy=busy, lease=LEASE)
            tx.commit()
        for message in claimed:
            with self._lock:
                self._busy[message.endpoint_id] += 1
            self._pool.submit(self._deliver, message)
        return bool(claimed)

    def close(self) -> None:
        """Wait for the deliveries under way; what is not started is left to another worker."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wait_until_idle(self, timeout: float = 30.0) -> bool:
        """Wait until nothing is under way; ``False`` if that took too long."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with self._lock:
                if not +self._busy:
                    return True
            time.sleep(0.005)
        return False

    def _deliver(self, message: ClaimedMessage) -> None:
        try:
            result = self._sender.post(message.url, headers=self._headers(message), body=message.body.encode())
            self._settle(message, result)
        except Exception:  # noqa: BLE001  # logged with its traceback
            # Be it the database or a mistake of ours: the lease ends and the message is delivered again, under the same
            # webhook-id. A pool would swallow what is not caught here.
            extra = {"webhook_message": message.id, "payment_id": message.payment_id}
            _log.exception("delivery could not be written down", extra=extra)
        finally:
            with self._lock:
                self._busy[message.endpoint_id] -= 1
                self._busy += Counter()  # drops what has come down to zero

    def _headers(self, message: ClaimedMessage) -> dict[str, str]:
        now = int(self._context.now().timestamp())
        keys = [message.secret, *([message.previous_secret] if message.previous_secret else [])]
        return {
            "Content-Type": "application/json",
            "webhook-id": message.event_id,
            "webhook-timestamp": str(now),
            "webhook-signature": domain.sign(
                keys, message_id=message.event_id, timestamp=now, body=message.body.encode()
            ),
        }

    def _settle(self, message: ClaimedMessage, result: DeliveryResult) -> None:
        """Write down how it went, and what comes next, in one transaction."""
        attempts = message.attempts + 1
        taken = domain.delivered(result.status)
        wait = None if taken else domain.wait_after(attempts, retry_after=result.retry_after)
        status = "delivered" if taken else "failed" if wait is None else "pending"
        now = self._context.now()
        delivery = Delivery(
            id=new_id(Prefix.WEBHOOK_DELIVERY, now),
            message_id=message.id,
            event_id=message.event_id,
            event_type=message.event_type,
            attempt=attempts,
            status_code=result.status,
            error=result.error,
            duration_ms=round(result.duration / timedelta(milliseconds=1)),
            created_at=now,
        )
        with self._context.database.tenant_transaction(message) as tx:
            webhook_messages.log(tx, message, message.endpoint_id, delivery)
            # The endpoint's row before its messages', as everywhere, so that nobody waits in a circle.
            if taken:
                webhook_endpoints.note_success(tx, message, message.endpoint_id)
            else:
                webhook_endpoints.note_failure(tx, message, message.endpoint_id)
                self._disable(tx, message, gone=domain.gone(result.status), exhausted=wait is None)
            # Nothing happens here if somebody else has the message by now, or the endpoint's messages are held.
            webhook_messages.settle(tx, message, status=status, attempts=attempts, wait=wait)
            tx.commit()
        self._report(message, result, status)

    def _disable(self, tx: Connection, message: ClaimedMessage, *, gone: bool, exhausted: bool) -> None:
        """Stop where the receiver says so, or took nothing for as long as a whole schedule lasts; hold its messages."""
        if gone:
            reason = "gone"
        elif exhausted and self._has_failed_for_long(tx, message):
            reason = "failing"
        else:
            return
        if webhook_endpoints.disable(tx, message, message.endpoint_id, reason=reason):
            extra = {"webhook_endpoint": message.endpoint_id, "reason": reason}
            _log.warning("webhook endpoint disabled", extra=extra)

    def _has_failed_for_long(self, tx: Connection, message: ClaimedMessage) -> bool:
        endpoint = webhook_endpoints.get(tx, message, message.endpoint_id)
        since = endpoint.failing_since if endpoint else None
        return since is not None and self._context.now() - since >= GIVE_UP_AFTER

    @staticmethod
    def _report(message: ClaimedMessage, result: DeliveryResult, status: str) -> None:
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
