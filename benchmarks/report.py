"""Tables for a person."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.blocks import PERCENTILES, Block, by_subject
from benchmarks.machine import TOLERATED, cores
from benchmarks.statistics import Summary, ratios, summarize

#: Columns of processor time, and the processes of each.
_PROCESSES = {
    "server CPU": ("api", "api-stored", "flask"),
    "PG CPU": ("postgresql",),
    "worker": ("worker",),
    "client": ("generator",),
}
#: Milliseconds below which a process did nothing worth showing.
_NOTHING = 0.005


def subject_table(title: str, blocks: Sequence[Block]) -> Table:
    """Return the medians of each subject; processor time is in milliseconds of one core a unit."""
    rounds = 1 + max(block.round for block in blocks)
    worst = max(block.others for block in blocks)
    others = f"; OTHERS TOOK UP TO {worst:.0%} OF A CORE" if worst > TOLERATED else ""
    table = Table(
        title=f"{title}: median of {rounds} rounds, {cores()} cores shared by all{others}",
        title_style="",
        box=SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    for heading in ("per s", "low..high", "p50 ms", "p99 ms", *_PROCESSES, "WAL B", "failed"):
        table.add_column(heading, justify="right")
    for name, per_second in by_subject(blocks, lambda block: block.per_second).items():
        own = [block for block in blocks if block.subject == name]
        rate = summarize(per_second)
        table.add_row(
            name,
            f"[bold]{rate.median:.1f}[/]",
            f"{rate.low:.0f}..{rate.high:.0f}",
            _latency(own, "p50"),
            _latency(own, "p99"),
            *(_processor(own, processes) for processes in _PROCESSES.values()),
            f"{summarize([block.wal_bytes for block in own]).median:.0f}",
            str(sum(sum(block.failures.values()) for block in own) or "-"),
        )
    return table


def ratio_table(subject: str, denominators: Sequence[str], blocks: Sequence[Block]) -> Table:
    """Return what a subject reaches of each denominator, round by round."""
    rates = by_subject(blocks, lambda block: block.per_second)
    table = Table(title=f"{subject} / denominator, of the same round", title_style="", box=SIMPLE_HEAD)
    for heading in ("denominator", "ratio", "lowest..highest"):
        table.add_column(heading, justify="left" if heading == "denominator" else "right")
    for name in denominators:
        if name in rates:
            ratio = ratios(rates[subject], rates[name])
            table.add_row(name, f"[bold]{ratio.median:.2f}[/]", _range(ratio))
    return table


def latency_table(title: str, subject: str, blocks: Sequence[Block]) -> Table:
    """Return each percentile of each subject, and how many times the others' the subject's p99 is."""
    table = Table(title=title, title_style="", box=SIMPLE_HEAD)
    table.add_column("")
    cuts = [f"p{cut}" for cut in PERCENTILES]
    for heading in (*(f"{cut} ms" for cut in cuts), f"p99 of {subject} / p99"):
        table.add_column(heading, justify="right")
    tails = by_subject(blocks, lambda block: block.latency_ms["p99"])
    for name in tails:
        own = [block for block in blocks if block.subject == name]
        ratio = ratios(tails[subject], tails[name])
        table.add_row(name, *(_latency(own, cut) for cut in cuts), f"{ratio.median:.1f} ({_range(ratio)})")
    return table


def _range(summary: Summary) -> str:
    return f"{summary.low:.2f}..{summary.high:.2f}"


def _latency(blocks: Sequence[Block], cut: str) -> str:
    values = [block.latency_ms[cut] for block in blocks if cut in block.latency_ms]
    return f"{summarize(values).median:.1f}" if values else "-"


def _processor(blocks: Sequence[Block], processes: Sequence[str]) -> str:
    medians = summarize([sum(block.processor_ms.get(name, 0.0) for name in processes) for block in blocks])
    return f"{medians.median:.2f}" if medians.median >= _NOTHING else "-"
