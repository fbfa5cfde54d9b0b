"""Where the rehearsal keeps its files: everything it writes is under `.run/` of the checkout."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class BusyError(Exception):
    """Another rehearsal runs in this checkout."""


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The paths of one checkout's rehearsal."""

    checkout: Path

    @property
    def run(self) -> Path:
        """The root of everything that the rehearsal writes."""
        return self.checkout / ".run"

    @property
    def rehearsal(self) -> Path:
        """What one rehearsal leaves for the reader; emptied when the next one starts."""
        return self.run / "rehearsal"

    @property
    def logs(self) -> Path:
        """One log file for each action, container and server."""
        return self.rehearsal / "logs"

    @property
    def builds(self) -> Path:
        """The working copies of the CodeBuild actions."""
        return self.rehearsal / "builds"

    @property
    def artifacts(self) -> Path:
        """The artifact store."""
        return self.rehearsal / "artifacts"

    @property
    def home(self) -> Path:
        """HOME of every process that the rehearsal starts."""
        return self.rehearsal / "home"

    @property
    def toolchain(self) -> Path:
        """What a build image would bring: python3, node, npm, docker."""
        return self.run / "toolchain"

    @property
    def timeline(self) -> Path:
        """The machine-readable record of the run."""
        return self.run / "rehearsal.json"

    def empty(self) -> None:
        """Remove what the last rehearsal left; caches stay."""
        shutil.rmtree(self.rehearsal, ignore_errors=True)
        for folder in (self.logs, self.builds, self.artifacts, self.home):
            folder.mkdir(parents=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the checkout for one rehearsal; the kernel releases it however the process ends.

        Raises:
            BusyError: another rehearsal holds it; the message names its process.
        """
        self.run.mkdir(exist_ok=True)
        with (self.run / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                msg = f"a rehearsal already runs in {self.checkout} (process {file.read().strip()}); end it first"
                raise BusyError(msg) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield
