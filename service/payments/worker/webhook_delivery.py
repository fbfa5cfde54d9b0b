"""The webhook delivery loop: delivers due messages, each on a thread of its own."""

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from payments.delivery.sender import Sender
from payments.repositories.webhook_messages import ClaimedMessage
from payments.services import webhook_delivery
from payments.services.context import Context

_THREADS = 16
_log = logging.getLogger("payments.webhooks")


class DeliveryPool:
    """Delivers due messages: a receiver that hangs blocks a thread, and no other delivery."""

    def __init__(self, context: Context, sender: Sender, *, threads: int = _THREADS) -> None:
        self._context = context
        self._sender = sender
        self._threads = threads
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="webhook")
        self._changed = threading.Condition()
        #: Deliveries in progress, by endpoint.
        self._busy: Counter[str] = Counter()

    def run(self) -> bool:
        """Start as many due deliveries as there are free threads; returns whether there were any."""
        with self._changed:
            busy = dict(self._busy)
        free = self._threads - sum(busy.values())
        if free <= 0:
            return False
        claimed = webhook_delivery.claim_due(self._context, limit=free, busy=busy)
        for message in claimed:
            with self._changed:
                self._busy[message.endpoint_id] += 1
            self._pool.submit(self._deliver, message)
        return bool(claimed)

    def close(self) -> None:
        """Wait for the deliveries in progress; those that have not started are left to another worker."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wait_until_idle(self, timeout: float = 30.0) -> bool:
        """Wait until nothing is in progress; ``False`` if that takes longer than ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout)

    def _deliver(self, message: ClaimedMessage) -> None:
        try:
            webhook_delivery.deliver(self._context, self._sender, message)
        except Exception:  # noqa: BLE001 - logged with its traceback; the pool would swallow it
            # The claim expires, and the message is delivered again under the same webhook-id.
            extra = {"webhook_message": message.id, "payment_id": message.payment_id}
            _log.exception("webhook delivery could not be recorded", extra=extra)
        finally:
            with self._changed:
                self._busy[message.endpoint_id] -= 1
                self._busy += Counter()  # drops the endpoints that have no delivery in progress
                self._changed.notify_all()
