"""The ECS service scheduler: rolling deployments with a circuit breaker, and replacement of tasks that die."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rehearsal.compute.containers import HealthRecord
from rehearsal.compute.errors import DeploymentError
from rehearsal.compute.replicas import Registration, Replica
from rehearsal.compute.task_definitions import TaskDefinition
from rehearsal.compute.tasks import Task

Notify = Callable[[str], None]
"""Told one line about everything that happens."""

StartTask = Callable[[TaskDefinition], Task]
"""Makes a task that has not been started yet."""

# ECS developer guide, "deployment circuit breaker": 0.5 x desired count, at least 3 and at most 200.
_MIN_FAILURES, _MAX_FAILURES = 3, 200
_DEPLOYMENT_PAUSE_SECONDS = 0.2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """A service as ECS describes it."""

    cluster: str
    name: str
    definition: TaskDefinition
    desired: int = 1
    registrations: tuple[Registration, ...] = ()
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200

    def failure_threshold(self, desired: int) -> int:
        """Return how many failed tasks fail a deployment."""
        return min(max(_MIN_FAILURES, math.ceil(desired / 2)), _MAX_FAILURES)


@dataclass(frozen=True, kw_only=True)
class ContainerStatus:
    """A container that runs: `pid` is its first process, `health` what its health checks have said so far."""

    task: str
    name: str
    pid: int
    log: Path
    health: HealthRecord


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """A service at one moment; `started` and `failures` count tasks from its first deployment on."""

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
    """One service: `deploy` it as often as its description changes, `delete` it at the end."""

    def __init__(self, name: str, *, start_task: StartTask, notify: Notify) -> None:
        self.name = name
        self._start_task = start_task
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
        self._rest_until = 0.0

    @property
    def desired(self) -> int:
        """How many tasks it shall have: the declared number, or the scalable target's minimum when that is more."""
        return max(self._spec.desired, self._capacity_minimum) if self._spec is not None else 0

    def status(self) -> ServiceStatus | None:
        """Describe it; None before its first deployment."""
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

    def set_capacity(self, minimum: int) -> None:
        """Have at least `minimum` tasks; they start in the background."""
        self._capacity_minimum = minimum
        self._changed.set()

    async def deploy(self, spec: ServiceSpec) -> None:
        """Replace the running tasks by tasks of `spec`, and return once they serve and the old ones have ended.

        Raises:
            DeploymentError: too many tasks failed; the old ones serve on.
        """
        async with self._lock:
            await self._pause_maintenance()
            previous, self._spec = self._spec, spec
            self._rest_until = 0.0
            try:
                await self._converge(spec, limit=spec.failure_threshold(self.desired))
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

    async def delete(self, *, at_once: bool = False) -> None:
        """Stop every task, after its requests in flight unless `at_once`."""
        self._closing = True
        self._changed.set()  # a deployment that is still going on gives up
        async with self._lock:
            await self._pause_maintenance()
            self._spec = None
            await self._drain_all("the service is deleted", at_once=at_once)

    async def _maintain(self) -> None:
        """Keep the desired number of tasks while nothing is deployed."""
        while True:
            await self._changed.wait()
            if self._spec is not None:
                await self._converge(self._spec, limit=None)

    async def _pause_maintenance(self) -> None:
        if self._maintenance is not None:
            self._maintenance.cancel()
            await asyncio.gather(self._maintenance, return_exceptions=True)
            self._maintenance = None

    async def _converge(self, spec: ServiceSpec, *, limit: int | None) -> None:
        """Start and drain tasks until `desired` ones of the definition serve and there are no others.

        With a `limit` that many failed tasks raise DeploymentError; without, pauses between tries become longer.
        """
        failures = 0
        while not self._closing:
            self._changed.clear()
            self._refuse_stuck(spec, deploying=limit is not None)
            for reason in self._collect_failures(spec):
                failures += 1
                self._notify(f"service {self.name}: {reason.splitlines()[0]}")
                self._rest_until = asyncio.get_running_loop().time() + _pause(failures, hurry=limit is not None)
                if limit is not None and failures >= limit:
                    raise DeploymentError(
                        f"service {self.name}: {failures} tasks of {spec.definition.arn} failed, "
                        f"the deployment is stopped; the last one: {reason}"
                    )
            if self._step(spec):
                return
            await self._wait_for_change()
        raise DeploymentError(f"service {self.name}: the deployment was stopped")

    def _refuse_stuck(self, spec: ServiceSpec, *, deploying: bool) -> None:
        """Give a deployment up that AWS would let wait for hours: the circuit breaker counts no such task."""
        for replica in self._replicas:
            if deploying and replica.stuck and replica.task.definition.arn == spec.definition.arn:
                raise DeploymentError(f"service {self.name}: the deployment would not end; {replica.failure}")

    def _collect_failures(self, spec: ServiceSpec) -> list[str]:
        """Forget the tasks that ended, and return why those of the definition did, or are unhealthy; each once."""
        found = []
        for replica in tuple(self._replicas):
            reason = replica.failure or replica.ailment
            if replica.failure is not None:
                self._replicas.remove(replica)
            if reason is None or replica in self._counted or replica.draining:
                continue
            self._counted.add(replica)
            self._failures.append(reason)
            if replica.task.definition.arn == spec.definition.arn:
                found.append(reason)
        self._counted &= set(self._replicas)
        return found

    def _step(self, spec: ServiceSpec) -> bool:
        """Do what can be done now; True when nothing is left to do."""
        active = [replica for replica in self._replicas if not replica.draining]
        same = [replica for replica in active if replica.task.definition.arn == spec.definition.arn]
        fresh = [replica for replica in same if replica.ailment is None]
        unhealthy = [replica for replica in same if replica.ailment is not None]
        stale = [replica for replica in active if replica not in same]
        desired = self.desired
        serving = sum(replica.ready for replica in active)
        least = math.ceil(desired * spec.minimum_healthy_percent / 100)
        for replica in stale:
            # As many old tasks may go as new ones serve beyond the minimum; those that never served at once.
            if not replica.ready or serving > least:
                serving -= replica.ready
                self._drain(replica, "replaced by a new deployment")
        for replica in fresh[desired:]:
            self._drain(replica, "the service scales in")
        steady = [replica for replica in fresh[:desired] if replica.ready]
        most = max(desired, math.floor(desired * spec.maximum_percent / 100), 1)
        full = len(active) >= most
        # Unhealthy tasks stay until their replacements serve, or leave one by one where there is no room for these.
        for replica in unhealthy if len(steady) == desired else unhealthy[:full]:
            self._drain(replica, replica.ailment or "unhealthy")
        if len(fresh) < desired and not full and not self._rests():
            for _ in range(min(desired - len(fresh), most - len(active))):
                self._start(spec)
        return len(steady) == desired and not stale and not unhealthy and not self._drains

    def _start(self, spec: ServiceSpec) -> None:
        task = self._start_task(spec.definition)
        self._started += 1
        self._notify(f"service {self.name}: task {task.identifier} of {spec.definition.arn} starts")
        self._replicas.append(Replica(task, spec.registrations, self._changed.set))

    def _drain(self, replica: Replica, reason: str, *, at_once: bool = False) -> None:
        replica.draining = True
        drain = asyncio.create_task(replica.drain(reason, at_once=at_once))
        self._drains.add(drain)

        def finished(done: "asyncio.Task[None]") -> None:
            self._drains.discard(done)
            if replica in self._replicas:
                self._replicas.remove(replica)
            self._changed.set()

        drain.add_done_callback(finished)

    async def _drain_all(self, reason: str, *, at_once: bool = False) -> None:
        for replica in tuple(self._replicas):
            if not replica.draining:
                self._drain(replica, reason, at_once=at_once)
        while self._drains:
            await asyncio.gather(*self._drains, return_exceptions=True)
            await asyncio.sleep(0)

    def _rests(self) -> bool:
        return asyncio.get_running_loop().time() < self._rest_until

    async def _wait_for_change(self) -> None:
        """Wait until something happens, or until tasks may be started again after a failure."""
        rest = self._rest_until - asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest if rest > 0 else None):
                await self._changed.wait()


def _containers(task: Task) -> list[ContainerStatus]:
    return [
        ContainerStatus(task=task.identifier, name=each.name, pid=each.pid, log=each.log, health=replace(each.record))
        for each in task.containers
        if each.pid is not None
    ]


def _pause(failures: int, *, hurry: bool) -> float:
    """Return for how many seconds no task shall be started after this many failures in a row."""
    if hurry:
        return _DEPLOYMENT_PAUSE_SECONDS
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
