"""The service scheduler: rolling deployments with a circuit breaker, and replacement of failed tasks."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rehearsal.ecs.containers import HealthRecord
from rehearsal.ecs.replicas import Registration, Replica
from rehearsal.ecs.task_definitions import TaskDefinition
from rehearsal.ecs.tasks import Task
from rehearsal.host.errors import DeploymentError

# ECS developer guide, "deployment circuit breaker": 0.5 x desired count, at least 3 and at most 200.
_MIN_FAILURES, _MAX_FAILURES = 3, 200
_DEPLOYMENT_PAUSE_SECONDS = 0.2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """A service."""

    cluster: str
    name: str
    definition: TaskDefinition
    desired: int = 1
    registrations: tuple[Registration, ...] = ()
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200


@dataclass(frozen=True, kw_only=True)
class ContainerStatus:
    """A running container; `pid` is its main process."""

    task: str
    name: str
    pid: int
    log: Path
    health: HealthRecord


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """A service at one moment; `started` and `failures` count since its first deployment."""

    cluster: str
    name: str
    task_definition: str
    desired: int
    running: int
    pids: tuple[int, ...]
    containers: tuple[ContainerStatus, ...]
    started: int
    failures: tuple[str, ...]


class Service:
    """One service.

    Args:
        name: Its name.
        create_task: Creates a task that is not started yet.
        notify: Called with a line for every event.

    """

    def __init__(
        self, name: str, *, create_task: Callable[[TaskDefinition], Task], notify: Callable[[str], None]
    ) -> None:
        self.name = name
        self._create_task = create_task
        self._notify = notify
        self._spec: ServiceSpec | None = None
        self._capacity_minimum = 0
        self._replicas: list[Replica] = []
        self._counted: set[Replica] = set()
        self._failures: list[str] = []
        self._started = 0
        self._drains: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._maintenance: asyncio.Task[None] | None = None
        self._closing = False
        self._backoff_until = 0.0

    @property
    def desired(self) -> int:
        """The desired number of tasks: the declared one, or the minimum of the scalable target if that is more."""
        return max(self._spec.desired, self._capacity_minimum) if self._spec is not None else 0

    def status(self) -> ServiceStatus | None:
        """Return its status; None before its first deployment."""
        if self._spec is None:
            return None
        return ServiceStatus(
            cluster=self._spec.cluster,
            name=self._spec.name,
            task_definition=self._spec.definition.arn,
            desired=self.desired,
            running=sum(replica.ready for replica in self._replicas),
            pids=tuple(pid for replica in self._replicas for pid in replica.task.pids),
            containers=tuple(status for replica in self._replicas for status in _containers(replica.task)),
            started=self._started,
            failures=tuple(self._failures),
        )

    def set_minimum_capacity(self, minimum: int) -> None:
        """Set the minimum of the scalable target; tasks start and stop in the background."""
        self._capacity_minimum = minimum
        self._changed.set()

    async def deploy(self, spec: ServiceSpec) -> None:
        """Replace the tasks by tasks of `spec`; return once these serve and the previous ones have stopped.

        Raises:
            DeploymentError: Too many tasks failed; the previous ones still serve.

        """
        async with self._lock:
            await self._pause_maintenance()
            previous, self._spec = self._spec, spec
            self._backoff_until = 0.0
            try:
                await self._converge(spec, max_failures=_failure_threshold(self.desired))
            except DeploymentError as error:
                self._notify(str(error))
                self._spec = previous
                if previous is None:
                    await self._drain_all("the deployment failed")
                raise
            except asyncio.CancelledError:
                self._spec = previous
                raise
            finally:
                if self._spec is not None:
                    self._changed.set()
                    self._maintenance = asyncio.create_task(self._maintain())
            self._notify(f"service {self.name} is steady: {self.desired} of {spec.definition.arn}")

    async def delete(self, *, immediately: bool = False) -> None:
        """Stop every task, after its requests in flight unless `immediately`."""
        self._closing = True
        self._changed.set()  # ends a deployment in progress
        async with self._lock:
            await self._pause_maintenance()
            self._spec = None
            await self._drain_all("the service is deleted", immediately=immediately)

    async def _maintain(self) -> None:
        """Keep the desired number of tasks between deployments."""
        while True:
            await self._changed.wait()
            if self._spec is not None:
                await self._converge(self._spec, max_failures=None)

    async def _pause_maintenance(self) -> None:
        if self._maintenance is not None:
            self._maintenance.cancel()
            await asyncio.gather(self._maintenance, return_exceptions=True)
            self._maintenance = None

    async def _converge(self, spec: ServiceSpec, *, max_failures: int | None) -> None:
        """Start and drain tasks until the desired number of the definition serve and there are no others.

        `max_failures` failed tasks raise DeploymentError; without a maximum the pauses between tries grow.
        """
        failures = 0
        while not self._closing:
            self._changed.clear()
            for reason in self._collect_failures(spec):
                failures += 1
                self._notify(f"service {self.name}: {reason.splitlines()[0]}")
                pause = _DEPLOYMENT_PAUSE_SECONDS if max_failures is not None else _backoff(failures)
                self._backoff_until = asyncio.get_running_loop().time() + pause
                if max_failures is not None and failures >= max_failures:
                    raise DeploymentError(
                        f"service {self.name}: {failures} tasks of {spec.definition.arn} failed, "
                        f"the deployment is stopped; the last failure: {reason}"
                    )
            if self._advance(spec):
                return
            await self._wait_for_change()
        raise DeploymentError(f"service {self.name}: the deployment was cancelled")

    def _collect_failures(self, spec: ServiceSpec) -> list[str]:
        """Remove the tasks that ended; return why tasks of the definition failed or are unhealthy, each once."""
        reasons = []
        for replica in tuple(self._replicas):
            reason = replica.failure or replica.unhealthy_reason
            if replica.failure is not None:
                self._replicas.remove(replica)
            if reason is None or replica in self._counted or replica.draining:
                continue
            self._counted.add(replica)
            self._failures.append(reason)
            if replica.task.definition.arn == spec.definition.arn:
                reasons.append(reason)
        self._counted &= set(self._replicas)
        return reasons

    def _advance(self, spec: ServiceSpec) -> bool:
        """Start and drain the tasks that can be now; return whether the service is steady."""
        active = [replica for replica in self._replicas if not replica.draining]
        current = [replica for replica in active if replica.task.definition.arn == spec.definition.arn]
        healthy = [replica for replica in current if replica.unhealthy_reason is None]
        unhealthy = [replica for replica in current if replica.unhealthy_reason is not None]
        previous = [replica for replica in active if replica not in current]
        desired = self.desired
        serving = sum(replica.ready for replica in active)
        minimum = math.ceil(desired * spec.minimum_healthy_percent / 100)
        for replica in previous:
            # As many previous tasks may stop as serve beyond the minimum; those that never served immediately.
            if not replica.ready or serving > minimum:
                serving -= replica.ready
                self._drain(replica, "replaced by a new deployment")
        for replica in healthy[desired:]:
            self._drain(replica, "the service scales in")
        steady = [replica for replica in healthy[:desired] if replica.ready]
        maximum = max(desired, math.floor(desired * spec.maximum_percent / 100), 1)
        is_full = len(active) >= maximum
        # Unhealthy tasks stay until their replacements serve, or stop one by one where there is no room for these.
        for replica in unhealthy if len(steady) == desired else unhealthy[:is_full]:
            self._drain(replica, replica.unhealthy_reason or "unhealthy")
        if len(healthy) < desired and not is_full and not self._is_backing_off():
            for _ in range(min(desired - len(healthy), maximum - len(active))):
                self._start(spec)
        return len(steady) == desired and not previous and not unhealthy and not self._drains

    def _start(self, spec: ServiceSpec) -> None:
        task = self._create_task(spec.definition)
        self._started += 1
        self._notify(f"service {self.name}: task {task.identifier} of {spec.definition.arn} starts")
        self._replicas.append(Replica(task, spec.registrations, self._changed.set))

    def _drain(self, replica: Replica, reason: str, *, immediately: bool = False) -> None:
        replica.draining = True
        drain = asyncio.create_task(replica.drain(reason, immediately=immediately))
        self._drains.add(drain)

        def on_done(done: "asyncio.Task[None]") -> None:
            self._drains.discard(done)
            if replica in self._replicas:
                self._replicas.remove(replica)
            self._changed.set()

        drain.add_done_callback(on_done)

    async def _drain_all(self, reason: str, *, immediately: bool = False) -> None:
        for replica in tuple(self._replicas):
            if not replica.draining:
                self._drain(replica, reason, immediately=immediately)
        while self._drains:
            await asyncio.gather(*self._drains, return_exceptions=True)
            await asyncio.sleep(0)

    def _is_backing_off(self) -> bool:
        return asyncio.get_running_loop().time() < self._backoff_until

    async def _wait_for_change(self) -> None:
        """Wait until a task changes, or until tasks may be started again after a failure."""
        pause = self._backoff_until - asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause if pause > 0 else None):
                await self._changed.wait()


def _containers(task: Task) -> list[ContainerStatus]:
    return [
        ContainerStatus(
            task=task.identifier,
            name=container.name,
            pid=container.pid,
            log=container.log,
            health=replace(container.record),
        )
        for container in task.containers
        if container.pid is not None
    ]


def _failure_threshold(desired: int) -> int:
    """Return how many failed tasks fail a deployment."""
    return min(max(_MIN_FAILURES, math.ceil(desired / 2)), _MAX_FAILURES)


def _backoff(failures: int) -> float:
    """Return for how many seconds no task is started after this number of consecutive failures."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
