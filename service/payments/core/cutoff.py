"""Ends a wait as a whole, where what waits knows only time-outs for each read, or none at all.

A peer that sends a byte now and then keeps every read short; one that hangs keeps a client waiting that has no time-out
of its own. Both end once the connection is shut down under the waiting thread, which then finds it closed.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator

#: Seconds between two looks for what is overdue.
_INTERVAL = 0.2


class Cutoff:
    """Cuts what is overdue, on a thread of its own that starts with the first wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waits: dict[int, tuple[float, Callable[[], object]]] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def after(self, seconds: float, cut: Callable[[], object]) -> Iterator[None]:
        """Call ``cut`` if the block takes longer than ``seconds``, and again until the block has ended.

        ``cut`` runs on another thread. It must not wait, and it may be called while there is nothing to cut yet. It is
        never called after the block.
        """
        number = next(self._numbers)
        with self._lock:
            self._waits[number] = (time.monotonic() + seconds, cut)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cutoff", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._waits[number]

    def _run(self) -> None:
        never = threading.Event()
        while not never.wait(_INTERVAL):
            now = time.monotonic()
            with self._lock:
                for end, cut in self._waits.values():
                    if end <= now:
                        with contextlib.suppress(Exception):  # closed already, or not connected yet
                            cut()


#: One thread is enough for a process.
CUTOFF = Cutoff()
