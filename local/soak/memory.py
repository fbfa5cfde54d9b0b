"""The memory of containers early and late in a soak."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import psutil

from rehearsal.ecs.services import ContainerStatus

_MIB = 1024 * 1024
#: The growth from the first third to the last that counts as flat, since caches fill and threads start.
TOLERANCE, MIN_TOLERANCE_MIB = 0.10, 10.0


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The resident memory of a container in MiB: the medians of the first and of the last third of its samples."""

    container: str
    early: float
    late: float

    @property
    def is_flat(self) -> bool:
        """Whether it grew by no more than the tolerance."""
        return self.late - self.early <= max(self.early * TOLERANCE, MIN_TOLERANCE_MIB)


class Memory:
    """Samples of the memory of containers."""

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = defaultdict(list)

    def sample(self, containers: Sequence[ContainerStatus]) -> None:
        """Measure every container now."""
        for each in containers:
            size = _resident(each.pid)
            if size:
                self._samples[_name(each)].append(size / _MIB)

    def growth(self, containers: Sequence[ContainerStatus]) -> list[Growth]:
        """Return the growth of each container that was measured at least three times."""
        found = []
        for each in containers:
            samples = self._samples[_name(each)]
            third = len(samples) // 3
            if third:
                found.append(
                    Growth(container=_name(each), early=median(samples[:third]), late=median(samples[-third:]))
                )
        return found


def _name(container: ContainerStatus) -> str:
    return f"{container.name} {container.task}"


def _resident(pid: int) -> int:
    """Return the resident bytes of a process and its children; shared memory counts for each of them."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # a child has just ended
                total += each.memory_info().rss
    return total
