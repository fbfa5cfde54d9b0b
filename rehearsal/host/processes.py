"""Child processes: each in a process group of its own, with a log file and a record.

The record (`<directory>/processes/<pid>.json`) survives a rehearsal that was killed, so that the next one can stop the
processes that were left. Pids are reused, so that a process is identified by its pid and its creation time.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_SWEEP_GRACE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """A process and the process that started it."""

    name: str
    pid: int
    created: float
    owner_pid: int
    owner_created: float
    stop_signal: int


class ManagedProcess:
    """A running child process, the leader of its own process group."""

    def __init__(self, process: asyncio.subprocess.Process, record: Path, *, name: str, stop_signal: signal.Signals):
        self._process = process
        self._record = record
        self._stop_signal = stop_signal
        self.name = name

    @property
    def pid(self) -> int:
        """The process id, also the process group's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code as a container engine reports it (128 + signal number when killed); None while it runs."""
        return container_exit_code(self._process.returncode)

    async def wait(self) -> int:
        """Wait until it exits, kill what is left of its process group, and return its exit code."""
        await self._process.wait()
        _signal_group(self.pid, signal.SIGKILL)
        self._record.unlink(missing_ok=True)
        code = self.exit_code
        if code is None:
            raise RuntimeError(f"{self.name} has exited without an exit code")
        return code

    async def stop(self, grace: float, *, by: signal.Signals | None = None) -> int:
        """Stop it, kill its process group after `grace` seconds, and return its exit code.

        Args:
            grace: Seconds until the process group is killed.
            by: The signal to send instead of the usual one.

        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(by or self._stop_signal)
            # Not asyncio.timeout: in what cleans up after a cancellation, Python before 3.11.3 raises CancelledError.
            _, unfinished = await asyncio.wait([asyncio.create_task(self._process.wait())], timeout=grace)
            if unfinished:
                _signal_group(self.pid, signal.SIGKILL)
        return await self.wait()


class ProcessTable:
    """Starts processes, with their records below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def start(
        self,
        command: Sequence[str],
        *,
        name: str,
        environment: Mapping[str, str],
        cwd: Path,
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> ManagedProcess:
        """Start a command with exactly this environment; its output is appended to `log`.

        Raises:
            OSError: The program is missing or not executable.

        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                cwd=cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        record = record_process(self._directory, process.pid, name, stop_signal=stop_signal)
        return ManagedProcess(process, record, name=name, stop_signal=stop_signal)


def record_process(directory: Path, pid: int, name: str, *, stop_signal: signal.Signals = signal.SIGTERM) -> Path:
    """Record a process group that this process started, below `directory`; return the path of the record."""
    record = directory / "processes" / f"{pid}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    own = psutil.Process()
    with contextlib.suppress(psutil.NoSuchProcess):  # it may have exited already
        entry = ProcessRecord(
            name=name,
            pid=pid,
            created=psutil.Process(pid).create_time(),
            owner_pid=own.pid,
            owner_created=own.create_time(),
            stop_signal=int(stop_signal),
        )
        record.write_text(json.dumps(asdict(entry)))
    return record


def sweep_leftovers(directory: Path) -> tuple[str, ...]:
    """Stop every recorded process below `directory` whose owner is gone; return the names of those that still ran."""
    swept: list[psutil.Process] = []
    names: list[str] = []
    for path in sorted((directory / "processes").glob("*.json")):
        try:
            record = ProcessRecord(**json.loads(path.read_text()))
        except (ValueError, TypeError):  # the owner was killed while it wrote the record
            path.unlink()
            continue
        if _identify(record.owner_pid, record.owner_created) is not None:
            continue
        process = _identify(record.pid, record.created)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(record.stop_signal)
            swept.append(process)
            names.append(record.name)
        path.unlink()
    psutil.wait_procs(swept, timeout=_SWEEP_GRACE_SECONDS)
    for process in swept:
        _signal_group(process.pid, signal.SIGKILL)
    psutil.wait_procs(swept, timeout=_SWEEP_GRACE_SECONDS)
    return tuple(names)


def container_exit_code(returncode: int | None) -> int | None:
    """Return the exit code that a container engine reports: 128 + N for a process that signal N killed."""
    if returncode is not None and returncode < 0:
        return 128 - returncode
    return returncode


def tail(log: Path, lines: int = 20, *, limit: int = 16_384) -> str:
    """Return the last lines of a log file (nothing when it does not exist), from at most `limit` bytes."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - limit))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def _identify(pid: int, created: float) -> psutil.Process | None:
    """Return the process with this pid and creation time, unless it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
