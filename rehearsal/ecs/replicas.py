"""A replica of a service: a task with its registered targets, from its start to its end."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rehearsal.ecs.tasks import Task
from rehearsal.elbv2.target_groups import Target, TargetGroup
from rehearsal.host.errors import RehearsalError, TaskFailedError
from rehearsal.host.events import wait_for_any

_IMMEDIATE_STOP_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A target group that the tasks of a service register with, and their port."""

    group: TargetGroup
    port: int


class Replica:
    """A task of a service: starting, then ready, until it drains or fails.

    A task that becomes unhealthy after it was ready runs until it is drained: ECS starts its replacement first.
    """

    def __init__(self, task: Task, registrations: Sequence[Registration], on_change: Callable[[], None]) -> None:
        self.task = task
        self.ready = False
        self.draining = False
        self.failure: str | None = None
        self.unhealthy_reason: str | None = None
        self._registrations = registrations
        self._targets: list[tuple[TargetGroup, Target]] = []
        self._on_change = on_change
        self._lifecycle = asyncio.create_task(self._run(), name=f"replica {task.identifier}")

    async def drain(self, reason: str, *, immediately: bool = False) -> None:
        """Deregister its targets, wait for their requests in flight, and stop the task."""
        self.draining = True
        self.ready = False
        await asyncio.gather(*(group.deregister(target, immediately=immediately) for group, target in self._targets))
        await self.task.stop(reason, at_most=_IMMEDIATE_STOP_SECONDS if immediately else math.inf)
        await self._lifecycle

    async def _run(self) -> None:
        self.task.start()
        try:
            await self.task.wait_until_ready()
            self._targets = [
                (registration.group, registration.group.register(self.task.address, registration.port))
                for registration in self._registrations
                if not self.draining
            ]
            for group, target in self._targets:
                await self._wait_until_healthy(group, target)
            self.ready = not self.draining
            self._on_change()
            await self._serve()
        except RehearsalError as error:
            self.failure = None if self.draining else str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is becomes the failure
            self.failure = f"task {self.task.identifier}: {error!r}"
        finally:
            self.ready = False
            await asyncio.gather(*(group.deregister(target) for group, target in self._targets))
            await self.task.stop(self.failure or "stopped")
            self._on_change()

    async def _wait_until_healthy(self, group: TargetGroup, target: Target) -> None:
        """Wait until a target is healthy; raise when the task stops or is unhealthy instead."""
        await wait_for_any(target.healthy, self.task.stopped, self.task.unhealthy, target.unhealthy)
        if self.task.stopped.is_set():
            raise TaskFailedError(self.task.stop_reason or "stopped")
        if not target.healthy.is_set():
            raise TaskFailedError(self.task.unhealthy_reason or self._describe(group, target))

    def _describe(self, group: TargetGroup, target: Target) -> str:
        logs = "\n".join(container.log_tail() for container in self.task.containers)
        what = f"task {self.task.identifier} failed the health checks of target group {group.settings.name}"
        return f"{what}: {target.reason}; {logs}"

    async def _serve(self) -> None:
        """Wait until a container or target becomes unhealthy, then until the task stops, which raises."""
        await wait_for_any(self.task.stopped, self.task.unhealthy, *(target.unhealthy for _, target in self._targets))
        if not self.task.stopped.is_set():
            unhealthy = [self._describe(group, target) for group, target in self._targets if target.unhealthy.is_set()]
            self.unhealthy_reason = self.task.unhealthy_reason or unhealthy[0]
            self.ready = False
            self._on_change()
            await self.task.stopped.wait()
        raise TaskFailedError(self.task.stop_reason or "stopped")
