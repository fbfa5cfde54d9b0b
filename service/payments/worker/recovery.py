"""The recovery loop: settles due attempts, each on a thread of its own."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor

from payments.domain.operations import Attempt
from payments.services import recovery
from payments.services.context import Context

_log = logging.getLogger("payments.recovery")
#: Attempts of one processor that are looked up at once; each may hang until the processor's deadline.
_THREADS = 16
#: Threads kept for attempts that were looked up once at most: old ones that hang must not keep new ones waiting.
_RESERVED = 6


class RecoveryPool:
    """Settles the due attempts of one processor: one that hangs or fails holds up no other."""

    def __init__(self, context: Context, processor: str, *, threads: int = _THREADS, reserved: int = _RESERVED) -> None:
        self._context = context
        self._processor = processor
        self._threads = threads
        self._reserved = reserved
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"recovery-{processor}")
        self._running: set[Future[None]] = set()

    def run(self) -> bool:
        """Start settling as many due attempts as there are free threads; returns whether there were any."""
        self._running = {future for future in self._running if not future.done()}
        free = self._threads - len(self._running)
        if free <= 0:
            return False
        started = time.monotonic()  # before the database sets the deadline, so that ours is never later
        claimed = recovery.claim_due(self._context, self._processor, limit=free, reserved=self._reserved)
        self._running |= {self._pool.submit(self._settle, attempt, started) for attempt in claimed}
        return bool(claimed)

    def close(self) -> None:
        """Wait for the attempts in progress."""
        self._pool.shutdown(wait=True)

    def _settle(self, attempt: Attempt, started: float) -> None:
        try:
            recovery.settle_claimed(self._context, attempt, started=started)
        except Exception as error:  # noqa: BLE001 - logged with its traceback; the pool would swallow it
            extra = {"attempt_id": attempt.id, "payment_id": attempt.payment_id}
            _log.exception("attempt could not be settled", extra=extra)
            self._reschedule(attempt, type(error).__name__)

    def _reschedule(self, attempt: Attempt, reason: str) -> None:
        """Back off, so that what always fails is not retried at once; without a database, the deadline does it."""
        try:
            recovery.reschedule(self._context, attempt, reason=reason)
        except Exception:  # noqa: BLE001 - logged with its traceback; the pool would swallow it
            _log.exception("attempt could not be rescheduled", extra={"attempt_id": attempt.id})
