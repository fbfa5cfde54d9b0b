"""One container of a task, as a process.

With a container engine a class of the same shape would run the image itself; nothing above this module would know.
"""

import asyncio
import contextlib
import enum
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.compute.environments import Translator
from rehearsal.compute.errors import TaskFailedError
from rehearsal.compute.images import Image
from rehearsal.compute.processes import ManagedProcess, ProcessTable, tail
from rehearsal.compute.task_definitions import ContainerDefinition, HealthCheck

_FIRST_CHECKS_EVERY_SECONDS = 1.0
_LOG_LINES = 15


class Health(enum.Enum):
    """A container's health, as ECS reports it."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Everything that one container needs to start."""

    definition: ContainerDefinition
    image: Image
    translator: Translator
    secrets: Mapping[str, str] = field(repr=False)
    log: Path
    name: str


class ProcessContainer:
    """A container's process with its health check; `started`, `healthy` and `exited` are set as they happen."""

    def __init__(self, launch: Launch, table: ProcessTable) -> None:
        self.definition = launch.definition
        self.log = launch.log
        self.health = Health.UNKNOWN
        self.exit_code: int | None = None
        self.started = asyncio.Event()
        self.healthy = asyncio.Event()
        self.unhealthy = asyncio.Event()
        self.exited = asyncio.Event()
        self._launch = launch
        self._table = table
        self._process: ManagedProcess | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._environment: dict[str, str] = {}
        self._directory = Path("/")

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
        launch, translator = self._launch, self._launch.translator
        self._environment = translator.environment(self.definition, launch.secrets)
        self._directory = translator.directory(self.definition)
        command = self._command()
        try:
            self._process = await self._table.start(
                command, name=launch.name, environment=self._environment, cwd=self._directory, log=self.log
            )
        except OSError as error:
            raise TaskFailedError(f"CannotStartContainerError: container {self.name}: {error}") from error
        self.started.set()
        self._watchers.append(asyncio.create_task(self._watch_exit(self._process)))
        if self.definition.health_check is not None:
            self._watchers.append(asyncio.create_task(self._watch_health(self.definition.health_check)))

    async def stop(self, *, at_most: float) -> None:
        """SIGTERM, then SIGKILL after `stopTimeout`, or `at_most` seconds; returns once it has exited."""
        if self._process is not None and not self.exited.is_set():
            await self._process.stop(min(self.definition.stop_timeout, at_most))
            await self.exited.wait()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def end_of_log(self) -> str:
        """Return the last lines that it wrote, under a line that says where all of it is."""
        return f"the end of {self.log}:\n{tail(self.log, _LOG_LINES)}"

    def _command(self) -> list[str]:
        definition, config = self.definition, self._launch.image.config
        entrypoint = config.entrypoint if definition.entrypoint is None else definition.entrypoint
        # An entry point of the task definition drops the image's command, as with `docker run --entrypoint`.
        default = config.command if definition.entrypoint is None else ()
        words = [*entrypoint, *(default if definition.command is None else definition.command)]
        if not words:
            raise TaskFailedError(f"CannotStartContainerError: container {self.name} has no command")
        return self._resolve([self._launch.translator.value(word) for word in words])

    def _resolve(self, words: list[str]) -> list[str]:
        program = words[0]
        if "/" not in program:
            program = shutil.which(program, path=self._environment["PATH"]) or program
        return [program, *words[1:]]

    async def _watch_exit(self, process: ManagedProcess) -> None:
        self.exit_code = await process.wait()
        self.exited.set()

    async def _watch_health(self, check: HealthCheck) -> None:
        """Check as ECS does: failures in the start period do not count, `retries` of them in a row are too many.

        Until the first success it looks more often, but gives the container the same time.
        """
        loop = asyncio.get_running_loop()
        began, failures, first_failure = loop.time(), 0, 0.0
        while not self.exited.is_set():
            passed, now = await self._check(check), loop.time()
            if passed:
                failures = 0
                self.health = Health.HEALTHY
                self.healthy.set()
            elif self.healthy.is_set() or now - began >= check.start_period:
                failures += 1
                first_failure = now if failures == 1 else first_failure
                if failures >= check.retries and now - first_failure >= check.interval * (check.retries - 1):
                    self.health = Health.UNHEALTHY
                    self.unhealthy.set()
                    return
            pause = check.interval if self.healthy.is_set() else min(_FIRST_CHECKS_EVERY_SECONDS, check.interval)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.exited.wait()

    async def _check(self, check: HealthCheck) -> bool:
        kind, *words = check.command
        words = [self._launch.translator.local(word) for word in words]
        command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else self._resolve(words)
        try:
            process = await self._table.start(
                command,
                name=f"{self._launch.name} (health check)",
                environment=self._environment,
                cwd=self._directory,
                log=self.log.with_suffix(".health.log"),
            )
        except OSError:  # the program is missing: an unhealthy container, as in ECS
            return False
        try:
            async with asyncio.timeout(check.timeout):
                return await process.wait() == 0
        except TimeoutError:
            return False
        finally:
            await process.stop(0)
