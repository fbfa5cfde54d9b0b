"""One task: its containers in `dependsOn` order, until an essential one ends."""

import asyncio
import itertools
import math
import random
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rehearsal.compute.containers import Container
from rehearsal.compute.engine import Engine
from rehearsal.compute.environments import Localities, Place
from rehearsal.compute.errors import ComputeError, TaskFailedError, TaskStuckError
from rehearsal.compute.images import ImageStore
from rehearsal.compute.isolation import EngineIsolation, Isolation, Launch, ProcessIsolation
from rehearsal.compute.processes import ProcessTable
from rehearsal.compute.secrets import SecretResolver
from rehearsal.compute.task_definitions import Condition, ContainerDefinition, TaskDefinition
from rehearsal.compute.waiting import first

# A container without a health check counts as running once it has lasted this long: a crash at start is a failed
# task, not a short-lived success.
_SETTLE_SECONDS = 2.0
_TMP = "/tmp"  # noqa: S108  a path inside containers


class AddressPool:
    """Hands out loopback addresses, one for each task, as a VPC gives each task a network interface of its own."""

    def __init__(self) -> None:
        # Far from 127.0.0.1 and different for every runtime: several may run on one machine.
        self._network = f"127.{random.randint(64, 254)}.{random.randint(0, 254)}"  # noqa: S311
        self._hosts = itertools.cycle(range(1, 255))

    def take(self) -> str:
        """Return the next address."""
        return f"{self._network}.{next(self._hosts)}"


@dataclass(frozen=True, kw_only=True)
class TaskHost:
    """What every task needs of its surroundings.

    `secrets_for` reads secrets with the rights of a task, and blocks. `notify` is told one line about every change of a
    container's health; with a `time_scale` health checks run that many times more often, and containers are told of it.
    """

    directory: Path
    logs: Path
    table: ProcessTable
    images: ImageStore
    addresses: AddressPool
    localities: Localities
    secrets_for: Callable[[TaskDefinition], SecretResolver]
    engine: Engine | None = None
    notify: Callable[[str], None] = lambda _line: None
    time_scale: float = 1.0


class Task:
    """A running task of a service; `stopped` is set once every container has ended.

    `unhealthy` is set once an essential container has failed its health checks, with the reason in `ailment`: the task
    goes on until it is stopped, as on ECS.
    """

    def __init__(self, definition: TaskDefinition, host: TaskHost, *, group: str) -> None:
        self.definition = definition
        self.identifier = uuid.uuid4().hex[:8]
        self.group = group
        self.address = host.addresses.take()
        self.reason: str | None = None
        self.ailment: str | None = None
        self.stopped = asyncio.Event()
        self.unhealthy = asyncio.Event()
        self._host = host
        self._directory = host.directory / self.identifier
        self._containers: dict[str, Container] = {}
        self._supervisor: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_limit = math.inf
        self._stuck = False

    @property
    def is_ready(self) -> bool:
        """Whether every essential container runs and, if it has a health check, is healthy."""
        return self._ready.is_set() and not self._stopping.is_set() and not self.unhealthy.is_set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of its running containers."""
        return tuple(container.pid for container in self._containers.values() if container.pid is not None)

    @property
    def containers(self) -> tuple[Container, ...]:
        """Its containers, in the order in which they start."""
        return tuple(self._containers.values())

    def start(self) -> None:
        """Start it in the background."""
        self._supervisor = asyncio.create_task(self._run(), name=f"task {self.identifier}")

    async def wait_until_ready(self) -> None:
        """Wait until it is ready.

        Raises:
            TaskFailedError: it stopped or is unhealthy instead; the message names the container, its exit code and the
                end of its log.
            TaskStuckError: it would wait for hours on AWS.
        """
        await first(self._ready, self.stopped, self.unhealthy)
        if self.is_ready:
            return
        if self.unhealthy.is_set():
            raise TaskFailedError(self.ailment)
        await self.stopped.wait()
        kind = TaskStuckError if self._stuck else TaskFailedError
        raise kind(self.reason or f"task {self.identifier} was stopped")

    async def stop(self, reason: str, *, at_most: float = math.inf) -> None:
        """Stop its containers, those that depend on others first, and return once all have ended.

        Each has its `stopTimeout`, yet no more than `at_most` seconds.
        """
        self._stop_limit = min(self._stop_limit, at_most)
        self.reason = self.reason or reason
        self._stopping.set()
        if self._supervisor is not None:
            await asyncio.shield(self._supervisor)

    async def _run(self) -> None:
        try:
            await self._prepare()
            await self._supervise()
        except ComputeError as error:
            self.reason = self.reason or str(error)
            self._stuck = isinstance(error, TaskStuckError)
        except Exception as error:  # noqa: BLE001  whatever it is, the deployment must learn of it
            self.reason = self.reason or f"task {self.identifier}: {error!r}"
        finally:
            self._stopping.set()
            for container in reversed(self.containers):
                await container.stop(at_most=self._stop_limit)
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            self.stopped.set()

    async def _prepare(self) -> None:
        """Pull images and secrets, as the agent does before it starts any container."""
        host = self._host
        resolver = await asyncio.to_thread(host.secrets_for, self.definition)
        for definition in self.definition.containers:
            image = await asyncio.to_thread(host.images.published, definition.image)
            secrets = await asyncio.to_thread(resolver.resolve, definition.secrets)
            launch = Launch(
                definition=definition,
                image=image,
                place=self._place(definition),
                localities=host.localities,
                secrets=secrets,
                time_scale=host.time_scale,
            )
            self._containers[definition.name] = Container(
                definition,
                self._isolation(launch),
                host.table,
                log=host.logs / f"{self.group}-{self.identifier}-{definition.name}.log",
                name=f"container {definition.name} of {self.group}, task {self.identifier}",
                notify=host.notify,
                time_scale=host.time_scale,
            )

    def _isolation(self, launch: Launch) -> Isolation:
        if self._host.engine is None or not launch.image.engine_id:
            return ProcessIsolation(launch)
        name = f"rehearsal-{self.identifier}-{launch.definition.name}"
        return EngineIsolation(launch, self._host.engine, name=name, directory=self._host.directory)

    def _place(self, definition: ContainerDefinition) -> Place:
        mounts = {path: self._directory / f"volume-{volume}" for path, volume in definition.mounts.items()}
        mounts.setdefault(_TMP, self._directory / f"{definition.name}-tmp")
        for folder in mounts.values():
            folder.mkdir(parents=True, exist_ok=True)
        return Place(address=self.address, hostname=f"{self.identifier}-{definition.name}", mounts=mounts)

    async def _supervise(self) -> None:
        """Run every container; return when the task is told to stop, raise when an essential container ends."""
        runs = [asyncio.create_task(self._run_container(container)) for container in self.containers]
        readiness = asyncio.create_task(self._await_readiness())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await _first_to_fail(stopping, [*runs, readiness])
        finally:
            for helper in (*runs, readiness, stopping):
                helper.cancel()
            await asyncio.gather(*runs, readiness, stopping, return_exceptions=True)

    async def _await_readiness(self) -> None:
        essential = [container for container in self.containers if container.definition.essential]
        for container in essential:
            await container.started.wait()
        if any(container.definition.health_check is None for container in essential):
            await asyncio.sleep(_SETTLE_SECONDS)
        for container in essential:
            if container.definition.health_check is not None:
                await container.healthy.wait()
        self._ready.set()

    async def _run_container(self, container: Container) -> None:
        for name, condition in container.definition.depends_on.items():
            await self._await_dependency(container, self._containers[name], condition)
        await container.start()
        await first(container.exited, container.unhealthy)
        if not container.definition.essential:
            return
        if not container.exited.is_set():
            what = f"essential container {container.name} failed its health checks"
            self.ailment = f"task {self.identifier}: {what}; {container.end_of_log()}"
            self.unhealthy.set()
            await container.exited.wait()
        what = f"essential container {container.name} exited with code {container.exit_code}"
        logs = [container.end_of_log(), *self._failed_dependencies(container)]
        raise TaskFailedError(f"task {self.identifier}: {what}; {'; '.join(logs)}")

    def _failed_dependencies(self, container: Container) -> list[str]:
        """What to know of containers that ran before it and failed: the cause of its end, more often than not."""
        before = [self._containers[name] for name in container.definition.depends_on]
        return [
            f"container {each.name} had exited with code {each.exit_code}; {each.end_of_log()}"
            for each in before
            if each.exit_code
        ]

    async def _await_dependency(self, container: Container, dependency: Container, condition: Condition) -> None:
        limit = dependency.definition.start_timeout
        try:
            async with asyncio.timeout(limit):
                await self._reach(dependency, condition)
        except TimeoutError:
            what = f"container {dependency.name} did not reach {condition.value} within its startTimeout of {limit:g} s"
            raise TaskFailedError(f"task {self.identifier}: {what}; {dependency.end_of_log()}") from None
        if not _satisfied(dependency, condition):
            what = (
                f"container {container.name} was not started, as it needs {condition.value} of {dependency.name}, "
                f"which exited with code {dependency.exit_code}"
            )
            if condition is not Condition.SUCCESS:
                raise TaskFailedError(f"task {self.identifier}: {what}; {dependency.end_of_log()}")
            advice = (
                "on AWS its task may stay PENDING for up to three hours, which no circuit breaker counts "
                "(aws/containers-roadmap#817): depend on COMPLETE, and let the container itself refuse to start"
            )
            raise TaskStuckError(f"task {self.identifier}: {what}; {advice}; {dependency.end_of_log()}")

    async def _reach(self, dependency: Container, condition: Condition) -> None:
        """Wait until the condition is met, or can no longer be."""
        if condition is Condition.START:
            await dependency.started.wait()
        elif condition is Condition.HEALTHY:
            await first(dependency.healthy, dependency.exited)
        else:
            await dependency.exited.wait()


def _satisfied(dependency: Container, condition: Condition) -> bool:
    match condition:
        case Condition.START:
            return dependency.started.is_set()
        case Condition.HEALTHY:
            return dependency.healthy.is_set() and not dependency.exited.is_set()
        case Condition.COMPLETE:
            return dependency.exited.is_set()
        case Condition.SUCCESS:
            return dependency.exit_code == 0


async def _first_to_fail(stopping: "asyncio.Task[bool]", runs: Iterable["asyncio.Task[None]"]) -> None:
    """Wait for `stopping`, or raise what the first of `runs` to fail raised."""
    pending: set[asyncio.Task[None] | asyncio.Task[bool]] = {stopping, *runs}
    while not stopping.done():
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for helper in done:
            helper.result()
