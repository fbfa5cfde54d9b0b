"""Detects loops that hang: that have been inside their ``run()`` for too long. Waiting between runs does not count."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Tracks since when each loop has been running. ``limit`` is in seconds. Thread-safe, with one thread per name."""

    def __init__(self, *, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._since: dict[str, float] = {}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Mark the loop ``name`` as running for the duration of the block."""
        self._since[name] = self._clock()
        try:
            yield
        finally:
            del self._since[name]

    def hanging(self) -> list[str]:
        """Return the names of the loops that have been running for longer than the limit, sorted."""
        now = self._clock()
        return sorted(name for name, since in self._since.copy().items() if now - since > self._limit)
