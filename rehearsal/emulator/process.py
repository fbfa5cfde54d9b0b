"""Start the emulator as a subprocess, wait until it answers, stop it, and explain when it dies."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Self

from rehearsal.emulator.client import endpoint_url
from rehearsal.emulator.server import LOG_FILE, READY_FILE

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class EmulatorError(Exception):
    """The emulator did not start, or died; the message holds the end of its log."""


class EmulatorProcess:
    """The emulator on a loopback port, for the time of a `with` block.

    `data` is its folder (log, records, scratch files). `port` 0 takes any free port; `port` and `url` tell which
    once it started. `control_url` is the compute runtime's control API. It runs in a process group of its own, so
    that a Ctrl-C in the terminal does not take it away while stacks are still being destroyed, and it ends by
    itself when the process that started it is gone.
    """

    def __init__(self, *, data: Path, port: int = 0, control_url: str | None = None) -> None:
        self.data = data
        self.port = port
        self._control_url = control_url
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint for AWS SDKs."""
        return endpoint_url(self.port)

    @property
    def log(self) -> Path:
        """The emulator's log file."""
        return self.data / LOG_FILE

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start it and return once it answers; `EmulatorError` when it does not."""
        self.data.mkdir(parents=True, exist_ok=True)
        ready = self.data / READY_FILE
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "rehearsal.emulator.server", "--port", str(self.port)]
        command += ["--data", str(self.data.resolve()), "--exit-with-parent"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment.pop("CONTROL_URL", None)
        if self._control_url:
            environment["CONTROL_URL"] = self._control_url
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )
        try:
            self._wait_until(ready)
        except BaseException:
            self.stop()
            raise
        self.port = int(json.loads(ready.read_text())["port"])
        return self

    def _wait_until(self, ready: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            self.check()
            if time.monotonic() > deadline:
                raise EmulatorError(f"The emulator did not answer within {_START_SECONDS:.0f} s.\n{self.end_of_log()}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise `EmulatorError`, with the end of the log, when it is no longer running."""
        if self._process is None:
            raise EmulatorError("The emulator is not running.")
        status = self._process.poll()
        if status is not None:
            raise EmulatorError(f"The emulator ended with exit status {status}.\n{self.end_of_log()}")

    def end_of_log(self, lines: int = 20) -> str:
        """Return the last lines of the log, under a line that says where all of it is."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"End of {self.log}:", *text[-lines:]])

    def stop(self) -> None:
        """Stop it and every function it runs; does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # The functions that it ran are children in its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()
