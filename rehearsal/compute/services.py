"""The ECS service scheduler: rolling deployments with a circuit breaker, and replacement of tasks that die."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rehearsal.compute.errors import ComputeError, DeploymentError, TaskFailedError
from rehearsal.compute.target_groups import Target, TargetGroup
from rehearsal.compute.task_definitions import TaskDefinition
from rehearsal.compute.tasks import Task
from rehearsal.compute.waiting import first

Notify = Callable[[str], None]
"""Told one line about everything that happens."""

StartTask = Callable[[TaskDefinition], Task]
"""Makes a task that has not been started yet."""

# ECS developer guide, "deployment circuit breaker": 0.5 x desired count, at least 3 and at most 200.
_MIN_FAILURES, _MAX_FAILURES = 3, 200
_DEPLOYMENT_PAUSE_SECONDS = 0.2
_AT_ONCE_SECONDS = 8.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A target group that a service's tasks join with one of their ports."""

    group: TargetGroup
    port: int


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
class ServiceStatus:
    """A service at one moment."""

    cluster: str
    name: str
    task_definition: str
    desired: int
    running: int
    pids: tuple[int, ...]


class Replica:
    """One task of a service with its registered targets: starting, then ready, until it drains or fails."""

    def __init__(self, task: Task, registrations: Sequence[Registration], on_change: Callable[[], None]) -> None:
        self.task = task
        self.ready = False
        self.draining = False
        self.failure: str | None = None
        self._registrations = registrations
        self._targets: list[tuple[TargetGroup, Target]] = []
        self._on_change = on_change
        self._life = asyncio.create_task(self._live(), name=f"replica {task.identifier}")

    async def drain(self, reason: str, *, at_once: bool = False) -> None:
        """Take it out of its target groups, wait for its requests in flight, stop its task."""
        self.draining = True
        self.ready = False
        await asyncio.gather(*(group.deregister(target, at_once=at_once) for group, target in self._targets))
        await self.task.stop(reason, at_most=_AT_ONCE_SECONDS if at_once else math.inf)
        await self._life

    async def _live(self) -> None:
        self.task.start()
        try:
            await self.task.wait_until_ready()
            self._targets = [
                (registration.group, registration.group.register(self.task.address, registration.port))
                for registration in self._registrations
                if not self.draining
            ]
            for group, target in self._targets:
                await self._until(target.healthy, group, target)
            self.ready = not self.draining
            self._on_change()
            await self._until_it_fails()
        except ComputeError as error:
            self.failure = None if self.draining else str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, the scheduler must learn of it
            self.failure = f"task {self.task.identifier}: {error!r}"
        finally:
            self.ready = False
            await asyncio.gather(*(group.deregister(target) for group, target in self._targets))
            await self.task.stop(self.failure or "stopped")
            self._on_change()

    async def _until(self, event: asyncio.Event, group: TargetGroup, target: Target) -> None:
        """Wait for the event; raise when the task stops or its target is unhealthy instead."""
        await first(event, self.task.stopped, target.unhealthy)
        if self.task.stopped.is_set():
            raise TaskFailedError(self.task.reason or "stopped")
        if not event.is_set() and target.unhealthy.is_set():
            logs = "\n".join(container.end_of_log() for container in self.task.containers)
            what = f"task {self.task.identifier} failed the health checks of target group {group.settings.name}"
            raise TaskFailedError(f"{what}: {target.reason}; {logs}")

    async def _until_it_fails(self) -> None:
        never = asyncio.Event()
        if not self._targets:
            await self.task.stopped.wait()
            raise TaskFailedError(self.task.reason or "stopped")
        watches = [asyncio.create_task(self._until(never, group, target)) for group, target in self._targets]
        try:
            await asyncio.gather(*watches)
        finally:
            for watch in watches:
                watch.cancel()


class Service:
    """One service: `deploy` it as often as its description changes, `delete` it at the end."""

    def __init__(self, name: str, *, start_task: StartTask, notify: Notify) -> None:
        self.name = name
        self._start_task = start_task
        self._notify = notify
        self._spec: ServiceSpec | None = None
        self._capacity_minimum = 0
        self._replicas: list[Replica] = []
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

    def _collect_failures(self, spec: ServiceSpec) -> list[str]:
        """Forget the tasks that ended, and return why those of the definition did."""
        ended = [replica for replica in self._replicas if replica.failure is not None]
        self._replicas = [replica for replica in self._replicas if replica.failure is None]
        return [replica.failure or "" for replica in ended if replica.task.definition.arn == spec.definition.arn]

    def _step(self, spec: ServiceSpec) -> bool:
        """Do what can be done now; True when nothing is left to do."""
        active = [replica for replica in self._replicas if not replica.draining]
        fresh = [replica for replica in active if replica.task.definition.arn == spec.definition.arn]
        stale = [replica for replica in active if replica not in fresh]
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
        most = max(desired, math.floor(desired * spec.maximum_percent / 100), 1)
        if len(fresh) < desired and len(fresh) + len(stale) < most and not self._rests():
            for _ in range(min(desired - len(fresh), most - len(fresh) - len(stale))):
                self._start(spec)
        steady = [replica for replica in fresh[:desired] if replica.ready]
        return len(steady) == desired and not stale and not self._drains

    def _start(self, spec: ServiceSpec) -> None:
        task = self._start_task(spec.definition)
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


def _pause(failures: int, *, hurry: bool) -> float:
    """Return for how many seconds no task shall be started after this many failures in a row."""
    if hurry:
        return _DEPLOYMENT_PAUSE_SECONDS
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
