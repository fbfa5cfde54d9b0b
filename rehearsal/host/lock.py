"""A lock file that lets one process at a time use a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class LockedError(Exception):
    """Another process holds the lock; `holder` is its process id."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"already running in this checkout (process {holder})")
        self.holder = holder


@contextlib.contextmanager
def exclusive_lock(file: Path) -> Iterator[None]:
    """Hold a lock file; the kernel releases it however the process ends.

    Raises:
        LockedError: Another process holds it.

    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LockedError(lock.read().strip()) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
