"""One container of a task: its process, its health check, its end."""

import asyncio
import contextlib
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rehearsal.compute.errors import TaskFailedError
from rehearsal.compute.isolation import Invocation, Isolation
from rehearsal.compute.processes import ManagedProcess, ProcessTable, tail
from rehearsal.compute.task_definitions import ContainerDefinition, HealthCheck

_FIRST_CHECKS_EVERY_SECONDS = 1.0
_LOG_LINES = 15


class Health(enum.Enum):
    """A container's health, as ECS reports it."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


@dataclass(kw_only=True)
class HealthRecord:
    """What its health checks have said of a container; failures in the start period are not among the counted ones."""

    health: Health = Health.UNKNOWN
    checks: int = 0
    failed: int = 0
    in_a_row: int = 0
    most_in_a_row: int = 0

    def passed(self) -> None:
        """Count a check that passed."""
        self.checks += 1
        self.in_a_row = 0
        self.health = Health.HEALTHY

    def missed(self, *, counts: bool) -> None:
        """Count a check that failed."""
        self.checks += 1
        if counts:
            self.failed += 1
            self.in_a_row += 1
            self.most_in_a_row = max(self.most_in_a_row, self.in_a_row)


class Container:
    """A container with its health check; `started`, `healthy` and `exited` are set as they happen.

    `name` names it in the record of processes; what it writes is appended to `log`. `notify` is told what its health
    checks find, which run `time_scale` times more often than declared.
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
        """Its process while it runs."""
        return self._process.pid if self._process is not None and not self.exited.is_set() else None

    async def start(self) -> None:
        """Start the process.

        Raises:
            TaskFailedError: its program is not in the image, or cannot be executed.
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
        """SIGTERM, then SIGKILL after `stopTimeout`, or `at_most` seconds; returns once it has exited.

        A container that drains is no longer checked.
        """
        if self._checks is not None:
            self._checks.cancel()
        if self._process is not None and not self.exited.is_set():
            await self._process.stop(min(self.definition.stop_timeout, at_most))
            await self.exited.wait()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def end_of_log(self) -> str:
        """Return the last lines that it wrote, under a line that says where all of it is."""
        return f"the end of {self.log}:\n{tail(self.log, _LOG_LINES)}"

    async def _launch(self, invocation: Invocation, name: str, log: Path) -> ManagedProcess:
        return await self._table.start(
            invocation.command, name=name, environment=invocation.environment, cwd=invocation.directory, log=log
        )

    async def _watch_exit(self, process: ManagedProcess) -> None:
        self.exit_code = await process.wait()
        try:
            await asyncio.to_thread(self._isolation.clean)
        finally:  # whatever the engine does: who waits for the end must learn of it
            self.exited.set()

    async def _watch_health(self, check: HealthCheck) -> None:
        """Check as ECS does: failures in the start period do not count, `retries` of them in a row are too many.

        Until the first success it looks more often, but gives the container the same time.
        """
        loop, record = asyncio.get_running_loop(), self.record
        interval = check.interval / self._time_scale  # not the start period: nobody starts faster
        began, first_failure = loop.time(), 0.0
        while not self.exited.is_set():
            problem, now = await self._check(check), loop.time()
            if self.exited.is_set():
                return
            if problem is None:
                if record.health is not Health.HEALTHY or record.in_a_row:
                    self._notify(f"{self._record_name} is {Health.HEALTHY.value}")
                record.passed()
                self.healthy.set()
            else:
                record.missed(counts=self.healthy.is_set() or now - began >= check.start_period)
            if record.in_a_row:
                first_failure = now if record.in_a_row == 1 else first_failure
                count = f"{record.in_a_row} in a row, {check.retries} are too many"
                self._notify(f"{self._record_name}: health check failed, {problem} ({count})")
            if record.in_a_row >= check.retries and now - first_failure >= interval * (check.retries - 1):
                record.health = Health.UNHEALTHY
                self._notify(f"{self._record_name} is {Health.UNHEALTHY.value}")
                self.unhealthy.set()
                return
            pause = interval if self.healthy.is_set() else min(_FIRST_CHECKS_EVERY_SECONDS, interval)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.exited.wait()

    async def _check(self, check: HealthCheck) -> str | None:
        """Run the check once; answers what is wrong."""
        kind, *words = check.command
        invocation = self._isolation.check(["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words)
        name, log = f"{self._record_name} (health check)", self.log.with_suffix(".health.log")
        try:
            process = await self._launch(invocation, name, log)
        except OSError as error:  # the program is missing: an unhealthy container, as in ECS
            return str(error)
        try:
            async with asyncio.timeout(check.timeout):
                code = await process.wait()
        except TimeoutError:
            return f"no answer within {check.timeout:g} s"
        finally:
            await process.stop(0)
        return f"exit code {code}" if code else None
