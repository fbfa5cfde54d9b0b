"""Which loops hang: those that have been inside their ``run()`` for too long. To wait for an interval is no hanging."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Knows since when each loop has been running. ``limit`` is in seconds. Safe for threads, one for each name."""

    def __init__(self, *, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._since: dict[str, float] = {}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """The loop ``name`` is inside its ``run()`` as long as the block lasts."""
        self._since[name] = self._clock()
        try:
            yield
        finally:
            del self._since[name]

    def hanging(self) -> list[str]:
        """The loops that have been running for longer than the limit, by name."""
        now = self._clock()
        return sorted(name for name, since in self._since.copy().items() if now - since > self._limit)
