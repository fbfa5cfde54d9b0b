"""Rows of the processes themselves: start, memory, what they take when idle, and `migrate` with nothing to do."""

import time

import psutil

from benchmarks import loads
from benchmarks.machine import processor_seconds
from benchmarks.rows.row import Row
from benchmarks.stand import Stand
from benchmarks.statistics import summarize

_MEBIBYTE = 2**20
_STEPS = 10
_HOURS = 3600.0


def start(stand: Stand) -> object:
    """Measure the time from the start of the api to its first answer from the database."""
    seconds, processor = [], []
    for _ in range(stand.options.rounds):
        begun = time.perf_counter()
        api = stand.service.start_api(name="api-start")
        seconds.append(time.perf_counter() - begun)
        processor.append(processor_seconds(api.pid))
        stand.service.discard(api)
    taken, used = summarize(seconds), summarize(processor)
    stand.console.print(
        f"  first answer after [bold]{taken.median:.2f} s[/] ({taken.low:.2f}..{taken.high:.2f}), "
        f"{used.median:.2f} s of processor time"
    )
    return {"seconds": seconds, "processor_seconds": processor}


def migrate(stand: Stand) -> object:
    """Measure `payments migrate` when there is nothing to do, as at the start of every task."""
    seconds = [stand.service.migrate() for _ in range(stand.options.rounds)]
    taken = summarize(seconds)
    stand.console.print(f"  [bold]{taken.median:.2f} s[/] ({taken.low:.2f}..{taken.high:.2f})")
    return {"seconds": seconds}


def memory(stand: Stand) -> object:
    """Measure the api's resident memory while it takes many payments."""
    each = stand.options.memory_payments // _STEPS
    points = [(0, _resident(stand.api.pid))]
    for step in range(1, _STEPS + 1):
        loads.generate(stand.work(stand.api.port, "create", seconds=_HOURS, flows=each))
        points.append((step * each, _resident(stand.api.pid)))
        stand.console.print(f"  {points[-1][0]:>8} payments: {points[-1][1]:.0f} MiB")
    return {"payments_and_mebibytes": points, "worker_mebibytes": _resident(stand.worker.pid)}


def idle(stand: Stand) -> object:
    """Measure the processor time of api, worker and PostgreSQL when nothing happens."""
    seconds = stand.options.idle_minutes * 60
    before = stand.probe().processor()
    time.sleep(seconds)
    used = {name: value - before.get(name, 0.0) for name, value in stand.probe().processor().items()}
    shares = {name: used[name] / seconds for name in ("api", "worker", "postgresql")}
    stand.console.print("  of a core: " + ", ".join(f"{name} [bold]{share:.2%}[/]" for name, share in shares.items()))
    return {"seconds": seconds, "share_of_a_core": shares}


def _resident(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / _MEBIBYTE


ROWS = (
    Row(name="start", title="from the api's start to its first answer", run=start),
    Row(name="migrate", title="`payments migrate` with nothing to do", run=migrate),
    Row(name="idle", title="processor time when idle (IDLE_MINUTES)", run=idle),
    Row(name="memory", title="the api's memory (MEMORY_PAYMENTS)", run=memory, by_default=False),
)
