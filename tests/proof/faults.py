"""What goes wrong in a storm: a plan drawn from the seed, and how each fault is done and undone."""

import random
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tests.proof.link import Link, Weather
from tests.proof.world import World
from tests.waiting import wait_until

_PROCESSES = ("api1", "api2", "worker1", "worker2")
_LINKS = (*(f"{name}-postgres" for name in _PROCESSES), "clients-api1", "clients-api2")
#: How often each is drawn, and for how many seconds it lasts at most. Most are short; but a process may be frozen for
#: longer than the deadline of a call, after which others do its work.
_KINDS = {"kill": (5, 0.5), "freeze": (3, 13.0), "weather": (6, 3.0), "postgres": (2, 2.0)}
_POSTGRES = ("kill-backend", "immediate", "freeze")
#: Seconds that a process gets to start before it can be hit again.
_START = 4.0
#: Mean of the seconds between two faults.
_GAP = 0.8


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. ``at`` and ``seconds`` count from the start of the storm."""

    at: float
    target: str
    action: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:6.2f}s {self.target} {self.action} for {self.seconds:.2f} s"


def plan(seed: str, seconds: float) -> list[Fault]:
    """Draw what goes wrong in a storm of so many seconds. The same seed draws the same."""
    draw = random.Random(f"{seed} faults")
    busy: dict[str, float] = {}
    found: list[Fault] = []
    at = 1.0
    while (at := at + draw.expovariate(1 / _GAP)) < seconds:
        kind = draw.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
        target, action = _target(draw, kind)
        fault = Fault(at=at, target=target, action=action, seconds=0.1 + _KINDS[kind][1] * draw.random() ** 2)
        # Drawn also where the target is still busy, so that the rest of the plan does not depend on it.
        if at >= busy.get(target, 0.0):
            busy[target] = at + fault.seconds + (_START if kind in ("kill", "postgres") else 0.5)
            found.append(fault)
    return found


def _target(draw: random.Random, kind: str) -> tuple[str, str]:
    if kind == "postgres":
        return "postgres", draw.choice(_POSTGRES)
    if kind == "weather":
        weathers = [weather.value for weather in Weather if weather is not Weather.OPEN]
        return draw.choice(_LINKS), draw.choice(weathers)
    return draw.choice(_PROCESSES), kind


class Storm:
    """Does what a plan says, on a thread of its own for each fault; remembers which were really done."""

    def __init__(self, world: World, faults: Sequence[Fault]) -> None:
        self._world = world
        self._faults = faults
        self.errors: list[str] = []
        self.started = time.monotonic()

    def run(self) -> None:
        """Run the plan to its end, and undo everything."""
        threads = []
        for fault in self._faults:
            while (wait := self.started + fault.at - time.monotonic()) > 0:
                time.sleep(wait)  # the plan says when
            threads.append(threading.Thread(target=self._do, args=(fault,), name=str(fault)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        self._heal()

    def _do(self, fault: Fault) -> None:
        try:
            self._apply(fault)
        except Exception as error:  # noqa: BLE001 - reported with the storm's result
            self.errors.append(f"{fault}: {error!r}")

    def _apply(self, fault: Fault) -> None:
        world, seconds = self._world, fault.seconds
        if fault.target == "postgres":
            self._postgres(fault)
        elif fault.action == "kill":
            victim = world.find(fault.target)
            victim.kill()
            time.sleep(seconds)
            victim.start()
        elif fault.action == "freeze":
            victim = world.find(fault.target)
            victim.signal(signal.SIGSTOP)
            time.sleep(seconds)
            victim.signal(signal.SIGCONT)
            victim.revive()
        else:
            link = self._link(fault.target)
            link.set(Weather(fault.action))
            time.sleep(seconds)
            link.set(Weather.OPEN)

    def _postgres(self, fault: Fault) -> None:
        server = self._world.server
        if fault.action == "kill-backend":
            server.kill_backend()
        elif fault.action == "immediate":
            server.halt()
            time.sleep(fault.seconds)
            server.start()
        else:
            server.signal_all(signal.SIGSTOP)
            time.sleep(fault.seconds)
            server.signal_all(signal.SIGCONT)

    def _link(self, name: str) -> Link:
        first, second = name.split("-")
        if first == "clients":
            link = self._world.find(second).clients
            assert link is not None
            return link
        return self._world.find(first).database

    def _heal(self) -> None:
        for victim in self._world.victims:
            victim.signal(signal.SIGCONT)
            victim.database.set(Weather.OPEN)
            victim.revive()
        for api in self._world.apis:
            wait_until(partial(self._world.is_ready, api), f"{api.name} after the storm; see {api.log}")
