"""The worker's heartbeat: a file that it writes while all is well, and that its health check reads.

The file holds the time of the last beat on the monotonic clock, which all processes of a machine share, so a step of
the wall clock neither ages a beat nor keeps it fresh. It is overwritten in place, which works on a full file system.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

#: Seconds between beats, and the age at which a beat is stale.
INTERVAL, MAX_AGE = 1.0, 30.0
#: Nanoseconds, of fixed width so that a shorter record never leaves the end of a longer one behind.
_RECORD = "{:020d}\n"
_SECOND = 1_000_000_000


def heartbeat_file(environ: Mapping[str, str]) -> Path:
    """Return the file's path. `tempfile.gettempdir` would not do: it picks another folder when it cannot write."""
    return Path(environ.get("TMPDIR") or "/tmp") / "payments-worker-heartbeat"  # noqa: S108 - ours alone in a container


class Heartbeat:
    """One worker's heartbeat file."""

    def __init__(self, file: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.file = file
        self._clock = clock

    def clear(self) -> None:
        """Remove an earlier worker's file.

        Raises:
            OSError: The file cannot be removed.
        """
        self.file.unlink(missing_ok=True)

    def beat(self) -> None:
        """Record that all is well now.

        Raises:
            OSError: The file cannot be written.
        """
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, _RECORD.format(self._clock()).encode(), 0)
        finally:
            os.close(descriptor)

    def is_fresh(self, max_age: float) -> bool:
        """Return whether the last beat is younger than ``max_age`` seconds; one before a reboot lies in the future."""
        try:
            age = self._clock() - int(self.file.read_text())
        except (OSError, ValueError):
            return False
        return 0 <= age < max_age * _SECOND
