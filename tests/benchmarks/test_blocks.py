"""Blocks are interleaved, measured from outside, and judged only on a quiet machine."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import blocks
from benchmarks.blocks import Block, Load, Probe, Subject, interleave
from benchmarks.errors import BenchError
from benchmarks.machine import Moment
from benchmarks.options import Options
from benchmarks.stand import Stand


@pytest.fixture
def order() -> list[str]:
    return []


def subject(name: str, order: list[str], *, units: int = 10) -> Subject:
    def load(begin: Callable[[], None]) -> Load:
        order.append(name)
        begin()
        return Load(units=units, seconds=2.0, latencies=[1.0, 2.0, 3.0], failures={})

    return Subject(name=name, load=load)


def quiet() -> Probe:
    positions = iter(range(0, 1_000_000, 500))
    return Probe(processes=lambda: {"api": os.getpid()}, wal_position=lambda: next(positions), roots=list)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Say how many cores others take in one block after the other; the last value lasts."""

    def take(shares: list[float]) -> None:
        remaining = list(shares)

        def share(_: Moment, __: Moment) -> float:
            return remaining.pop(0) if len(remaining) > 1 else remaining[0]

        monkeypatch.setattr(Moment, "share_of_others", share)

    return take


def run(subjects: list[Subject], rounds: int, *, anyway: bool = False) -> list[Block]:
    return interleave(subjects, rounds, quiet(), anyway=anyway, show=lambda _: None)


def test_rounds_run_forwards_and_backwards(order: list[str], others: Callable[[list[float]], None]) -> None:
    """A machine that slows down steadily would otherwise favour whoever comes first."""
    others([0.0])
    run([subject(name, order) for name in "abc"], 3)
    assert "".join(order) == "abc" + "abc" + "cba" + "abc", "a warm-up, then three rounds"


def test_a_block_is_what_one_round_measured(order: list[str], others: Callable[[list[float]], None]) -> None:
    others([0.0])
    (block,) = run([subject("a", order)], 1)
    assert (block.per_second, block.wal_bytes, block.round) == (5.0, 50.0, 0)
    assert (block.latency_ms["p50"], block.latency_ms["p99"]) == (2.0, 3.0)
    assert block.processor_ms.keys() == {"api", "generator"}


def test_a_spoiled_block_is_repeated(order: list[str], others: Callable[[list[float]], None]) -> None:
    others([0.5, 0.05])
    (block,) = run([subject("a", order)], 1)
    assert block.others == 0.05
    assert len(order) == 3, "the warm-up, the spoiled block and its repetition"


def test_a_busy_machine_is_no_judge(order: list[str], others: Callable[[list[float]], None]) -> None:
    others([0.11])
    with pytest.raises(BenchError, match="ANYWAY=1"):
        run([subject("a", order)], 1)


def test_a_busy_machine_is_used_anyway_and_said_to_be(order: list[str], others: Callable[[list[float]], None]) -> None:
    others([0.5])
    (block,) = run([subject("a", order)], 1, anyway=True)
    assert block.others == 0.5


def test_a_load_that_did_nothing_is_no_measurement(order: list[str], others: Callable[[list[float]], None]) -> None:
    others([0.0])
    with pytest.raises(BenchError, match="did nothing"):
        run([subject("a", order, units=0)], 1)


def test_what_comes_before_the_beginning_is_not_measured(others: Callable[[list[float]], None]) -> None:
    """pgbench connects anew for every block: the plans that it has PostgreSQL make are not a payment's."""
    others([0.0])
    position = [0]

    def load(begin: Callable[[], None]) -> Load:
        position[0] += 1_000_000  # the warm-up
        begin()
        position[0] += 10
        return Load(units=10, seconds=1.0)

    probe = Probe(processes=dict, wal_position=lambda: position[0], roots=list)
    (block,) = interleave([Subject(name="a", load=load)], 1, probe, show=lambda _: None)
    assert block.wal_bytes == 1.0


def test_a_load_that_never_begins_is_no_measurement(others: Callable[[list[float]], None]) -> None:
    others([0.0])
    with pytest.raises(BenchError, match="never began"):
        run([Subject(name="a", load=lambda _: Load(units=1, seconds=1.0))], 1)


def test_what_surrounds_a_block_is_not_measured(order: list[str], others: Callable[[list[float]], None]) -> None:
    others([0.0])
    running: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        order.append("begin")
        yield
        order.append("end")

    def probe() -> dict[str, int]:
        running.append(order[-1])
        return {}

    watched = Probe(processes=probe, wal_position=lambda: 0, roots=list)
    blocks.interleave(
        [Subject(name="a", load=subject("a", order).load, around=around)], 1, watched, show=lambda _: None
    )
    assert running == ["a", "a"], "after `begin`, before `end`"


def test_the_bench_does_not_start_on_a_busy_machine(
    tmp_path: Path, others: Callable[[list[float]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.stand._WATCH_SECONDS", 0)
    others([0.3])
    output = io.StringIO()
    console = Console(file=output, width=120)
    with pytest.raises(BenchError, match="30% of a core"):
        Stand(tmp_path, Options(), console).require_quiet()
    Stand(tmp_path, Options(anyway=True), console).require_quiet()
    assert "judges nothing" in output.getvalue()
    others([0.05])
    Stand(tmp_path, Options(), console).require_quiet()
