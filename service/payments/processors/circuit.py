"""A circuit breaker: after failures in a row a processor is left alone for a while, and new payments are refused early.

Refused early means before anything is written: a merchant gets 503 and may try again, which is kinder than a payment
in an unknown state.
"""

import threading
import time
from collections.abc import Callable

#: Failures in a row that open the circuit.
FAILURES = 5
#: Seconds that it stays open before one call is let through to try.
COOLDOWN = 10.0


class CircuitOpen(Exception):  # noqa: N818  # a state, told to the merchant as 503
    """The processor is not called now; ``retry_after`` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The processor fails and is left alone for {retry_after} s.")
        self.retry_after = retry_after


class CircuitBreaker:
    """Closed, open after :data:`FAILURES` failures in a row, half open for one trial after :data:`COOLDOWN`."""

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
        """Let a call through or not. While half open, one call is let through per cooldown.

        Raises:
            CircuitOpen: the processor is left alone.
        """
        with self._lock:
            if self._failures < self._threshold:
                return
            now = self._clock()
            if now < self._open_until:
                raise CircuitOpen(max(1, round(self._open_until - now)))
            self._open_until = now + self._cooldown  # this one tries; the others wait for what it finds

    def succeeded(self) -> None:
        """The processor answered, be it with a refusal."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """The processor did not answer, or answered that it is broken."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self._open_until = self._clock() + self._cooldown

    @property
    def is_open(self) -> bool:
        """Whether new payments are refused, for readiness and metrics."""
        with self._lock:
            return self._failures >= self._threshold and self._clock() < self._open_until
