"""The webhook delivery loop: delivers due messages, each on a thread of its own."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from payments.delivery.sender import Sender
from payments.repositories.webhook_messages import ClaimedMessage, InFlight
from payments.services import webhook_delivery
from payments.services.context import Context

#: Deliveries at once. Nearly all of them wait for a receiver, which costs little more than some memory.
_THREADS = 256
#: Results recorded at once, so that deliveries leave the other loops their database connections.
_RECORDING = 4
_log = logging.getLogger("payments.webhooks")


class DeliveryPool:
    """Delivers due messages: a receiver that hangs blocks a thread, and no other delivery."""

    def __init__(
        self, context: Context, sender: Sender, *, threads: int = _THREADS, more: Callable[[], None] = lambda: None
    ) -> None:
        """Deliver on ``threads`` threads, and call ``more`` when more may wait for an endpoint that had several."""
        self._context = context
        self._sender = sender
        self._threads = threads
        self._more = more
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="webhook")
        self._recording = threading.BoundedSemaphore(_RECORDING)
        self._changed = threading.Condition()
        #: Deliveries in progress, by merchant and endpoint.
        self._in_flight: Counter[tuple[str, str]] = Counter()
        #: Those that had several at once: what waits for them need not wait for the next look at all queues.
        self._several: set[tuple[str, str]] = set()

    def run(self) -> bool:
        """Start due deliveries, a share for each merchant; returns whether there were any."""
        with self._changed:
            in_flight = dict(self._in_flight)
        free = self._threads - sum(in_flight.values())
        if free <= 0:
            return False
        claimed = webhook_delivery.claim_due(self._context, free=free, in_flight=_in_flight(in_flight))
        receivers = [(message.merchant_id, message.endpoint_id) for message in claimed]
        with self._changed:
            self._in_flight.update(receivers)
            self._several.update(receiver for receiver in receivers if self._in_flight[receiver] > 1)
        for message in claimed:
            self._pool.submit(self._deliver, message)
        return bool(claimed)

    def close(self) -> None:
        """Wait for the deliveries in progress; those that have not started are left to another worker."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wait_until_idle(self, timeout: float = 30.0) -> bool:
        """Wait until nothing is in progress; ``False`` if that takes longer than ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_flight, timeout)

    def _deliver(self, message: ClaimedMessage) -> None:
        try:
            result = webhook_delivery.send(self._sender, message)
            with self._recording:
                webhook_delivery.record(self._context, message, result)
        except Exception:  # noqa: BLE001 - logged with its traceback; the pool would swallow it
            # The claim expires, and the message is delivered again under the same webhook-id.
            extra = {"webhook_message": message.id, "payment_id": message.payment_id}
            _log.exception("webhook delivery could not be recorded", extra=extra)
        finally:
            self._end((message.merchant_id, message.endpoint_id))

    def _end(self, receiver: tuple[str, str]) -> None:
        with self._changed:
            self._in_flight[receiver] -= 1
            self._in_flight += Counter()  # drops the endpoints that have no delivery in progress
            more = receiver in self._several and receiver not in self._in_flight
            if more:
                self._several.remove(receiver)
            self._changed.notify_all()
        if more:
            self._more()


def _in_flight(counts: dict[tuple[str, str], int]) -> InFlight:
    by_merchant: Counter[str] = Counter()
    by_endpoint: Counter[str] = Counter()
    for (merchant, endpoint), number in counts.items():
        by_merchant[merchant] += number
        by_endpoint[endpoint] += number
    return InFlight(by_merchant=by_merchant, by_endpoint=by_endpoint)
