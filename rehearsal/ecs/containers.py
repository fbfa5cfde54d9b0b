"""A container of a task: its process and its health check."""

import asyncio
import contextlib
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ecs.isolation import Invocation, Isolation
from rehearsal.ecs.task_definitions import ContainerDefinition, HealthCheck
from rehearsal.host.errors import TaskFailedError
from rehearsal.host.processes import ManagedProcess, ProcessTable, tail

_INITIAL_INTERVAL_SECONDS = 1.0
_LOG_LINES = 15


class Health(enum.Enum):
    """The health of a container, as ECS reports it."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


@dataclass(kw_only=True)
class HealthRecord:
    """The results of a container's health checks; failures within the start period count as `checks` only."""

    health: Health = Health.UNKNOWN
    checks: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    most_consecutive_failures: int = 0

    def record_success(self) -> None:
        """Count a check that passed."""
        self.checks += 1
        self.consecutive_failures = 0
        self.health = Health.HEALTHY

    def record_failure(self, *, counts: bool) -> None:
        """Count a check that failed."""
        self.checks += 1
        if counts:
            self.failures += 1
            self.consecutive_failures += 1
            self.most_consecutive_failures = max(self.most_consecutive_failures, self.consecutive_failures)


class Container:
    """A container; the events `started`, `healthy`, `unhealthy` and `exited` are set as they happen.

    Args:
        definition: Its definition.
        isolation: How it runs.
        table: Starts its processes.
        log: The file that its output is appended to.
        name: Its name in the records of processes.
        notify: Called with a line for every change of its health.
        time_scale: How many times more often than declared its health is checked.

    """

    def __init__(
        self,
        definition: ContainerDefinition,
        isolation: Isolation,
        table: ProcessTable,
        *,
        log: Path,
        name: str,
        notify: Callable[[str], None] = lambda _line: None,
        time_scale: float = 1.0,
    ) -> None:
        self.definition = definition
        self.log = log
        self.record = HealthRecord()
        self.exit_code: int | None = None
        self.started = asyncio.Event()
        self.healthy = asyncio.Event()
        self.unhealthy = asyncio.Event()
        self.exited = asyncio.Event()
        self._isolation = isolation
        self._table = table
        self._record_name = name
        self._notify = notify
        self._time_scale = time_scale
        self._process: ManagedProcess | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._checks: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its name in the task definition."""
        return self.definition.name

    @property
    def pid(self) -> int | None:
        """Its main process, while it runs."""
        return self._process.pid if self._process is not None and not self.exited.is_set() else None

    async def start(self) -> None:
        """Start the main process.

        Raises:
            TaskFailedError: The program is missing from the image or not executable.

        """
        try:
            self._process = await self._launch(self._isolation.main(), self._record_name, self.log)
        except OSError as error:
            raise TaskFailedError(f"CannotStartContainerError: container {self.name}: {error}") from error
        self.started.set()
        self._watchers.append(asyncio.create_task(self._watch_exit(self._process)))
        if self.definition.health_check is not None:
            self._checks = asyncio.create_task(self._watch_health(self.definition.health_check))
            self._watchers.append(self._checks)

    async def stop(self, *, at_most: float) -> None:
        """Send SIGTERM, and SIGKILL after `stopTimeout` or `at_most` seconds; return once it has exited.

        The health of a container that is stopping is not checked.
        """
        if self._checks is not None:
            self._checks.cancel()
        if self._process is not None and not self.exited.is_set():
            await self._process.stop(min(self.definition.stop_timeout, at_most))
            await self.exited.wait()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def log_tail(self) -> str:
        """Return the last lines of its log, under a line with the path of the log."""
        return f"end of {self.log}:\n{tail(self.log, _LOG_LINES)}"

    async def _launch(self, invocation: Invocation, name: str, log: Path) -> ManagedProcess:
        return await self._table.start(
            invocation.command, name=name, environment=invocation.environment, cwd=invocation.directory, log=log
        )

    async def _watch_exit(self, process: ManagedProcess) -> None:
        self.exit_code = await process.wait()
        try:
            await asyncio.to_thread(self._isolation.clean_up)
        finally:  # even if the engine fails: others wait for the event
            self.exited.set()

    async def _watch_health(self, check: HealthCheck) -> None:
        """Check as ECS does: failures in the start period do not count, `retries` consecutive ones are too many.

        Until the first success the checks are more frequent, but the container has the same time to pass.
        """
        loop, record = asyncio.get_running_loop(), self.record
        interval = check.interval / self._time_scale  # not the start period: the start takes as long as ever
        began, first_failure = loop.time(), 0.0
        while not self.exited.is_set():
            problem, now = await self._check(check), loop.time()
            if self.exited.is_set():
                return
            if problem is None:
                if record.health is not Health.HEALTHY or record.consecutive_failures:
                    self._notify(f"{self._record_name} is {Health.HEALTHY.value}")
                record.record_success()
                self.healthy.set()
            else:
                record.record_failure(counts=self.healthy.is_set() or now - began >= check.start_period)
            if record.consecutive_failures:
                first_failure = now if record.consecutive_failures == 1 else first_failure
                count = f"{record.consecutive_failures} of {check.retries}"
                self._notify(f"{self._record_name}: health check failed: {problem} ({count})")
            lasted = now - first_failure >= interval * (check.retries - 1)
            if record.consecutive_failures >= check.retries and lasted:
                record.health = Health.UNHEALTHY
                self._notify(f"{self._record_name} is {Health.UNHEALTHY.value}")
                self.unhealthy.set()
                return
            pause = interval if self.healthy.is_set() else min(_INITIAL_INTERVAL_SECONDS, interval)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.exited.wait()

    async def _check(self, check: HealthCheck) -> str | None:
        """Run the check once; return the problem, if there is one."""
        kind, *words = check.command
        invocation = self._isolation.health_check(["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words)
        name, log = f"{self._record_name} (health check)", self.log.with_suffix(".health.log")
        try:
            process = await self._launch(invocation, name, log)
        except OSError as error:  # a missing program makes the container unhealthy, as in ECS
            return str(error)
        try:
            async with asyncio.timeout(check.timeout):
                code = await process.wait()
        except TimeoutError:
            return f"timed out after {check.timeout:g} s"
        finally:
            await process.stop(0)
        return f"exit code {code}" if code else None
