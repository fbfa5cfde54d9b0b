"""Blocks of load, interleaved: every round runs each subject once, so that all see the same machine."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from benchmarks.errors import BenchError
from benchmarks.machine import TOLERATED, Moment, moment, processor_seconds
from benchmarks.statistics import Summary, percentile, summarize

#: What is kept of the latencies.
PERCENTILES = (50, 75, 90, 95, 99, 99.9)
#: Times that a spoiled block is repeated.
_REPEATS = 2


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a load did: `units` (payments, transactions, reads) in `seconds`."""

    units: int
    seconds: float
    #: Milliseconds, in any order.
    latencies: Sequence[float] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    #: Processor time of the load's own process.
    generator_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Block:
    """One measured block."""

    subject: str
    round: int
    units: int
    seconds: float
    per_second: float
    #: Milliseconds by percentile; empty without latencies.
    latency_ms: Mapping[str, float]
    #: Milliseconds of processor time a unit, by process.
    processor_ms: Mapping[str, float]
    #: Bytes of write-ahead log a unit.
    wal_bytes: float
    #: Cores that processes outside the bench took.
    others: float
    failures: Mapping[str, int]


def unmeasured() -> None:
    """Begin a load that nobody measures."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something to be measured: a name and the load that it takes for one block."""

    name: str
    #: Runs the load. It calls its argument once it is connected and warm: the measurement begins then.
    load: Callable[[Callable[[], None]], Load]
    #: Whether its first block counts for nothing; needless if every load has a warm-up of its own.
    warm_up: bool = True
    #: What has to hold during the block, and is not part of it.
    around: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is read before and after each block."""

    #: Process to its id; that of PostgreSQL includes its children.
    processes: Callable[[], Mapping[str, int]]
    wal_position: Callable[[], int]
    #: Processes whose time, and whose children's, is the bench's own.
    roots: Callable[[], Sequence[int]]

    def now(self) -> Moment:
        """Return the processor time of the machine and of the bench."""
        return moment(self.roots(), time.monotonic())

    def processor(self) -> dict[str, float]:
        """Return the processor time of each process."""
        return {name: processor_seconds(pid, children=name == "postgresql") for name, pid in self.processes().items()}


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What a probe read."""

    moment: Moment
    processor: Mapping[str, float]
    wal_position: int

    @classmethod
    def of(cls, probe: Probe) -> "_Reading":
        return cls(moment=probe.now(), processor=probe.processor(), wal_position=probe.wal_position())


def interleave(
    subjects: Sequence[Subject],
    rounds: int,
    probe: Probe,
    *,
    anyway: bool = False,
    show: Callable[[Block], None],
    warmed: Callable[[], None] = unmeasured,
) -> list[Block]:
    """Run every subject once a round, in turn forwards and backwards, so that no drift favours one of them.

    A block during which others took more than a tenth of a core is repeated. ``warmed`` is called before the first one,
    after what counts for nothing.

    Raises:
        BenchError: Others did not let go, and it is not to be judged `anyway`; or a load failed.
    """
    for subject in (subject for subject in subjects if subject.warm_up):  # caches, plans and connections
        with subject.around():
            subject.load(unmeasured)
    warmed()
    blocks = []
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            block = _undisturbed(subject, number, probe, anyway=anyway)
            show(block)
            blocks.append(block)
    return blocks


def _undisturbed(subject: Subject, number: int, probe: Probe, *, anyway: bool) -> Block:
    for _ in range(1 + _REPEATS):
        with subject.around():
            block = measure(subject, number, probe)
        if anyway or block.others <= TOLERATED:
            return block
    raise BenchError(
        f"other processes took {block.others:.0%} of a core during {subject.name}: stop them, or judge nothing by it "
        "and set ANYWAY=1"
    )


def measure(subject: Subject, number: int, probe: Probe) -> Block:
    """Run one block and read the probe when it begins and when it has ended.

    Raises:
        BenchError: The load did nothing.
    """
    beginnings: list[_Reading] = []
    load = subject.load(lambda: beginnings.append(_Reading.of(probe)))
    if not beginnings:
        raise BenchError(f"the load of {subject.name} never began")
    begun, ended = beginnings[-1], _Reading.of(probe)
    if not load.units:
        raise BenchError(f"{subject.name} did nothing: {dict(load.failures) or 'no failures either'}")
    each = 1000 / load.units
    used = {name: (taken - begun.processor.get(name, 0.0)) * each for name, taken in ended.processor.items()}
    used["generator"] = load.generator_seconds * each
    ordered = sorted(load.latencies)
    return Block(
        subject=subject.name,
        round=number,
        units=load.units,
        seconds=load.seconds,
        per_second=load.units / load.seconds,
        latency_ms={f"p{cut}": percentile(ordered, cut) for cut in PERCENTILES} if ordered else {},
        processor_ms={name: round(value, 3) for name, value in used.items()},
        wal_bytes=(ended.wal_position - begun.wal_position) / load.units,
        others=begun.moment.share_of_others(ended.moment),
        failures=load.failures,
    )


def by_subject(blocks: Sequence[Block], value: Callable[[Block], float]) -> dict[str, list[float]]:
    """Return a value of each block by subject, in the order of the rounds."""
    values: dict[str, list[float]] = {}
    for block in sorted(blocks, key=lambda block: block.round):
        values.setdefault(block.subject, []).append(value(block))
    return values


def rates(blocks: Sequence[Block]) -> dict[str, Summary]:
    """Summarize units a second by subject."""
    return {name: summarize(values) for name, values in by_subject(blocks, lambda block: block.per_second).items()}
