"""The loop of processors' events: looks at what each is about, on threads of its own."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from payments.services import inbox
from payments.services.context import Context
from payments.services.inbox import EventGroup

_log = logging.getLogger("payments.inbox")
#: Payments that are looked at once; each may hang until the processor's deadline. It also bounds the load on the
#: processor, three reads per payment, after a burst of events.
_THREADS = 8
#: Events claimed at once: several are often about the same payment.
_BATCH = 32


class EventPool:
    """Follows what the events of one processor are about: a look that hangs or fails holds up no other."""

    def __init__(self, context: Context, processor: str) -> None:
        self._context = context
        self._processor = processor
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix=f"events-{processor}")
        self._running: set[Future[None]] = set()

    def run(self) -> bool:
        """Start to look at due events if a thread is free; returns whether there were any."""
        self._running = {future for future in self._running if not future.done()}
        if len(self._running) >= _THREADS:
            return False
        groups = inbox.claim_due(self._context, self._processor, limit=_BATCH)
        self._running |= {self._pool.submit(self._handle, group) for group in groups}
        return bool(groups)

    def close(self) -> None:
        """Wait for the looks in progress."""
        self._pool.shutdown(wait=True)

    def _handle(self, group: EventGroup) -> None:
        try:
            inbox.handle(self._context, group)
        except Exception as error:  # noqa: BLE001 - logged with its traceback; the pool would swallow it
            _log.exception("processor event could not be handled", extra={"events": group.event_ids})
            self._reschedule(group, type(error).__name__)

    def _reschedule(self, group: EventGroup, reason: str) -> None:
        """Back off, so that what always fails is not retried at once; without a database, the lease does it."""
        try:
            inbox.reschedule(self._context, group, reason=reason)
        except Exception:  # noqa: BLE001 - logged with its traceback; the pool would swallow it
            _log.exception("processor event could not be rescheduled", extra={"events": group.event_ids})
