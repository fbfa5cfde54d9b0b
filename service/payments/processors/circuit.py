"""A circuit breaker: after consecutive failures a processor is not called for a while, and new payments fail fast.

They fail before anything is written: the merchant may simply retry, which is better than a payment in an unknown state.
"""

import threading
import time
from collections.abc import Callable

#: Consecutive failures that open the circuit.
FAILURES = 5
#: Seconds for which it stays open before one trial call is let through.
COOLDOWN = 10.0


class CircuitOpen(Exception):  # noqa: N818 - a state, not a fault
    """The processor is not called at the moment; ``retry_after`` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The circuit is open for another {retry_after} s.")
        self.retry_after = retry_after


class CircuitBreaker:
    """Opens after :data:`FAILURES` consecutive failures; lets one trial call through after :data:`COOLDOWN`."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        cooldown: float = COOLDOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = failures
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = 0.0

    def check(self) -> None:
        """Let a call through. While half-open, this is one call per cool-down.

        Raises:
            CircuitOpen: The processor must not be called.
        """
        with self._lock:
            if self._failures < self._threshold:
                return
            now = self._clock()
            if now < self._open_until:
                raise CircuitOpen(max(1, round(self._open_until - now)))
            self._open_until = now + self._cooldown  # the trial call; the others wait for its result

    def succeeded(self) -> None:
        """Record that the processor responded, be it with a refusal."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """Record that the processor did not respond, or reported that it is broken."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self._open_until = self._clock() + self._cooldown

    @property
    def is_open(self) -> bool:
        """Whether calls are rejected, for readiness and metrics."""
        with self._lock:
            return self._failures >= self._threshold and self._clock() < self._open_until
