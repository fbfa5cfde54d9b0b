"""A task: its containers in `dependsOn` order, until an essential one exits."""

import asyncio
import itertools
import math
import random
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.ecr.container_engine import ContainerEngine
from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.container_secrets import SecretResolver
from rehearsal.ecs.containers import Container
from rehearsal.ecs.environments import ContainerLaunch, ServiceDiscovery
from rehearsal.ecs.isolation import EngineIsolation, Isolation, ProcessIsolation, container_label
from rehearsal.ecs.task_definitions import ContainerDefinition, TaskDefinition
from rehearsal.host.errors import RehearsalError, TaskFailedError
from rehearsal.host.events import wait_for_any
from rehearsal.host.processes import ProcessTable

# A container without a health check counts as running once it has lasted this long, so that a crash at start is a
# failure of the task.
_SETTLE_SECONDS = 2.0


class AddressPool:
    """Assigns loopback addresses: one to each task, as a VPC assigns network interfaces."""

    def __init__(self) -> None:
        # Not 127.0.0.1, and different for every runtime: several may run on one machine.
        self._network = f"127.{random.randint(64, 254)}.{random.randint(0, 254)}"  # noqa: S311 - not for security
        self._hosts = itertools.cycle(range(1, 255))

    def take(self) -> str:
        """Return the next address."""
        return f"{self._network}.{next(self._hosts)}"


@dataclass(frozen=True, kw_only=True)
class TaskHost:
    """What all tasks of a runtime share."""

    #: The folder of the tasks' files.
    directory: Path
    logs: Path
    table: ProcessTable
    images: ImageStore
    addresses: AddressPool
    discovery: ServiceDiscovery
    #: Returns the resolver of a task's secrets; blocking.
    secrets_for: Callable[[TaskDefinition], SecretResolver]
    #: The container engine; None for processes.
    engine: ContainerEngine | None = None
    #: Called with a line for every change of a container's health.
    notify: Callable[[str], None] = lambda _line: None
    #: How many times more often than declared the health of containers is checked.
    time_scale: float = 1.0
    #: Variables of every container that no task definition declares.
    extra_environment: Mapping[str, str] = field(default_factory=dict)


class Task:
    """A task of a service.

    `stopped` is set once every container has exited. `unhealthy` is set once an essential container has failed its
    health checks, with the reason in `unhealthy_reason`: the task runs until it is stopped, as on ECS.
    """

    def __init__(self, definition: TaskDefinition, host: TaskHost, *, group: str) -> None:
        self.definition = definition
        self.identifier = uuid.uuid4().hex[:8]
        self.group = group
        self.address = host.addresses.take()
        self.stop_reason: str | None = None
        self.unhealthy_reason: str | None = None
        self.stopped = asyncio.Event()
        self.unhealthy = asyncio.Event()
        self._host = host
        self._directory = host.directory / self.identifier
        self._containers: dict[str, Container] = {}
        self._supervisor: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_limit = math.inf

    @property
    def is_ready(self) -> bool:
        """Whether every essential container runs and passes its health check, if it has one."""
        return self._ready.is_set() and not self._stopping.is_set() and not self.unhealthy.is_set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The main processes of its running containers."""
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
            TaskFailedError: It stopped or is unhealthy; the message names the container and has the end of its log.

        """
        await wait_for_any(self._ready, self.stopped, self.unhealthy)
        if self.is_ready:
            return
        if self.unhealthy.is_set():
            raise TaskFailedError(self.unhealthy_reason)
        await self.stopped.wait()
        raise TaskFailedError(self.stop_reason or f"task {self.identifier} was stopped")

    async def stop(self, reason: str, *, at_most: float = math.inf) -> None:
        """Stop its containers in reverse order and wait until all have exited.

        Args:
            reason: The reason to record, unless there is one.
            at_most: Seconds that each container has to exit, if that is less than its `stopTimeout`.

        """
        self._stop_limit = min(self._stop_limit, at_most)
        self.stop_reason = self.stop_reason or reason
        self._stopping.set()
        if self._supervisor is not None:
            await asyncio.shield(self._supervisor)

    async def _run(self) -> None:
        try:
            await self._prepare()
            await self._supervise()
        except RehearsalError as error:
            self.stop_reason = self.stop_reason or str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is becomes the reason
            self.stop_reason = self.stop_reason or f"task {self.identifier}: {error!r}"
        finally:
            self._stopping.set()
            for container in reversed(self.containers):
                await container.stop(at_most=self._stop_limit)
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            self.stopped.set()

    async def _prepare(self) -> None:
        """Pull the images and read the secrets, as the agent does before it starts a container."""
        host = self._host
        resolver = await asyncio.to_thread(host.secrets_for, self.definition)
        for definition in self.definition.containers:
            image = await asyncio.to_thread(host.images.pull, definition.image)
            tmp = self._directory / f"{definition.name}-tmp"
            tmp.mkdir(parents=True)
            launch = ContainerLaunch(
                definition=definition,
                image=image,
                address=self.address,
                hostname=f"{self.identifier}-{definition.name}",
                tmp=tmp,
                discovery=host.discovery,
                secrets=await asyncio.to_thread(resolver.resolve, definition.secrets),
                extra_environment=host.extra_environment,
            )
            self._containers[definition.name] = Container(
                definition,
                self._isolation(definition, launch),
                host.table,
                log=host.logs / f"{self.group}-{self.identifier}-{definition.name}.log",
                name=f"container {definition.name} of {self.group}, task {self.identifier}",
                notify=host.notify,
                time_scale=host.time_scale,
            )

    def _isolation(self, definition: ContainerDefinition, launch: ContainerLaunch) -> Isolation:
        if self._host.engine is None or not launch.image.engine_id:
            return ProcessIsolation(launch)
        name = f"rehearsal-{self.identifier}-{definition.name}"
        return EngineIsolation(launch, self._host.engine, name=name, label=container_label(self._host.directory))

    async def _supervise(self) -> None:
        """Run the containers until the task is stopped; raise when an essential one exits."""
        runs = [asyncio.create_task(self._run_container(container)) for container in self.containers]
        readiness = asyncio.create_task(self._await_readiness())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await _wait_for_stop(stopping, [*runs, readiness])
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
        for name in container.definition.depends_on:
            await self._containers[name].exited.wait()
        await container.start()
        await wait_for_any(container.exited, container.unhealthy)
        if not container.definition.essential:
            return
        if not container.exited.is_set():
            what = f"essential container {container.name} failed its health checks"
            self.unhealthy_reason = f"task {self.identifier}: {what}; {container.log_tail()}"
            self.unhealthy.set()
            await container.exited.wait()
        what = f"essential container {container.name} exited with code {container.exit_code}"
        logs = [container.log_tail(), *self._failed_dependencies(container)]
        raise TaskFailedError(f"task {self.identifier}: {what}; {'; '.join(logs)}")

    def _failed_dependencies(self, container: Container) -> list[str]:
        """Describe the dependencies of a container that failed: often the cause of its own failure."""
        dependencies = [self._containers[name] for name in container.definition.depends_on]
        return [
            f"container {dependency.name} exited with code {dependency.exit_code} before; {dependency.log_tail()}"
            for dependency in dependencies
            if dependency.exit_code
        ]


async def _wait_for_stop(stopping: "asyncio.Task[bool]", runs: Iterable["asyncio.Task[None]"]) -> None:
    """Wait for `stopping`; raise the exception of the first of `runs` that fails before."""
    pending: set[asyncio.Task[None] | asyncio.Task[bool]] = {stopping, *runs}
    while not stopping.done():
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for helper in done:
            helper.result()
