"""One task of a service: from its start, through its target groups' health checks, to its end."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rehearsal.compute.errors import ComputeError, TaskFailedError, TaskStuckError
from rehearsal.compute.target_groups import Target, TargetGroup
from rehearsal.compute.tasks import Task
from rehearsal.compute.waiting import first

_AT_ONCE_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A target group that a service's tasks join with one of their ports."""

    group: TargetGroup
    port: int


class Replica:
    """One task of a service with its registered targets: starting, then ready, until it drains or fails.

    A task that becomes unhealthy after it was ready stays until it is drained: ECS starts its replacement first.
    """

    def __init__(self, task: Task, registrations: Sequence[Registration], on_change: Callable[[], None]) -> None:
        self.task = task
        self.ready = False
        self.draining = False
        self.failure: str | None = None
        self.stuck = False
        self.ailment: str | None = None
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
            await self._serve()
        except ComputeError as error:
            self.failure = None if self.draining else str(error)
            self.stuck = isinstance(error, TaskStuckError)
        except Exception as error:  # noqa: BLE001  whatever it is, the scheduler must learn of it
            self.failure = f"task {self.task.identifier}: {error!r}"
        finally:
            self.ready = False
            await asyncio.gather(*(group.deregister(target) for group, target in self._targets))
            await self.task.stop(self.failure or "stopped")
            self._on_change()

    async def _until(self, event: asyncio.Event, group: TargetGroup, target: Target) -> None:
        """Wait for the event; raise when the task stops or is unhealthy instead."""
        await first(event, self.task.stopped, self.task.unhealthy, target.unhealthy)
        if self.task.stopped.is_set():
            raise TaskFailedError(self.task.reason or "stopped")
        if not event.is_set():
            raise TaskFailedError(self.task.ailment or self._ailment(group, target))

    def _ailment(self, group: TargetGroup, target: Target) -> str:
        logs = "\n".join(container.end_of_log() for container in self.task.containers)
        what = f"task {self.task.identifier} failed the health checks of target group {group.settings.name}"
        return f"{what}: {target.reason}; {logs}"

    async def _serve(self) -> None:
        """Wait until its containers or targets are found unhealthy, then until it stops, which raises."""
        events = [self.task.stopped, self.task.unhealthy, *(target.unhealthy for _, target in self._targets)]
        await first(*events)
        if not self.task.stopped.is_set():
            sick = [self._ailment(group, target) for group, target in self._targets if target.unhealthy.is_set()]
            self.ailment = self.task.ailment or sick[0]
            self.ready = False
            self._on_change()
            await self.task.stopped.wait()
        raise TaskFailedError(self.task.reason or "stopped")
