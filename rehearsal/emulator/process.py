"""The emulator as a subprocess."""

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

from rehearsal.account.sessions import endpoint_url
from rehearsal.emulator.server import LOG_FILE, READY_FILE
from rehearsal.host.processes import tail

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class EmulatorError(Exception):
    """The emulator did not start, or exited; the message has the end of its log."""


class EmulatorProcess:
    """The emulator on a loopback port; a context manager.

    It runs in a process group of its own, so that Ctrl-C in the terminal does not stop it while stacks are still being
    destroyed, and it exits when the process that started it is gone.

    Args:
        data: The folder of its log, records and scratch files.
        port: The port; 0 takes any free one, which `port` has once it is started.
        control_url: The URL of the container runtime's control API.

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
        """The log file."""
        return self.data / LOG_FILE

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start it, and wait until it responds.

        Raises:
            EmulatorError: It does not.

        """
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
                raise EmulatorError(f"The emulator did not respond within {_START_SECONDS:.0f} s.\n{self._log_tail()}")
            time.sleep(0.05)

    def check(self) -> None:
        """Check that it is running.

        Raises:
            EmulatorError: It is not.

        """
        if self._process is None:
            raise EmulatorError("The emulator is not running.")
        status = self._process.poll()
        if status is not None:
            raise EmulatorError(f"The emulator exited with status {status}.\n{self._log_tail()}")

    def stop(self) -> None:
        """Stop it and its Lambda functions, if it is running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # Lambda functions are child processes in its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _log_tail(self) -> str:
        return f"End of {self.log}:\n{tail(self.log)}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()
