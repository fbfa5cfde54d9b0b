"""The tables of docs/capacity.md, by the name between their markers."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.capacity.cost import cost
from benchmarks.capacity.limits import RATES, demand, limits
from stages.config import capacity_model as model


def fill(text: str) -> str:
    """Return the document with its tables replaced by today's.

    Raises:
        KeyError: A marker names no table.
    """
    return re.sub(
        r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->)",
        lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, rule: str | None = None) -> str:
    """Return a table whose first column is text and whose others are numbers, unless ``rule`` says otherwise."""
    rule = rule or "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([_row(head), rule, *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _measured() -> str:
    return _table(
        ["one payment, captured at once", "before", "today"],
        [
            ["processor time of the api, ms", _ms(model.EARLIER_API_SECONDS), _ms(model.API_SECONDS)],
            ["processor time of PostgreSQL, ms", _ms(model.EARLIER_DATABASE_SECONDS), _ms(model.DATABASE_SECONDS)],
            ["round trips", str(model.EARLIER_ROUND_TRIPS), str(model.ROUND_TRIPS)],
            ["statements, commits", "", f"{model.STATEMENTS}, {model.COMMITS}"],
            ["write-ahead log", "", f"{model.WAL_RECORDS} records, {model.WAL_BYTES / 1000:.1f} kB"],
            ["stored in tables and indexes", "", f"{model.STORED_BYTES / 1000:.1f} kB"],
        ],
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:.2f}"


def _tasks() -> str:
    return _table(
        ["api task, vCPU", "payments/s", "requests_per_task_per_minute"],
        [
            [f"{cpu / 1024:g}", f"{model.task_rate(cpu):.0f}", f"{model.requests_per_task_per_minute(cpu):,}"]
            for cpu in (256, 512, 1024, 2048)
        ],
    )


def _databases() -> str:
    rows = []
    for acu in (1, 2, 4, 8, 16, 32, 64, model.MOST_ACU):
        usable = model.usable_connections(1, acu)
        rows.append(
            [
                str(acu),
                f"{model.database_rate(acu):,.0f}",
                f"{model.max_connections(1, acu):,}",
                f"{model.max_connections(0.5, acu):,}",
                f"{model.most_tasks(usable):,}",
            ]
        )
    head = ["database_max_acu", "payments/s", "max_connections", "with database_min_acu 0.5", "tasks that fit"]
    return _table(head, rows)


def _limits() -> str:
    rows = [[limit.name, _rounded(limit.rate), limit.then] for limit in limits()]
    return _table(["limit", "payments/s", "then"], rows, rule="|---|---:|---|")


def _rounded(rate: float) -> str:
    digits = 10 ** max(0, len(str(int(rate))) - 2)
    return f"{round(rate / digits) * digits:,}"


def _rates() -> str:
    found = [demand(rate) for rate in RATES]
    return _table(
        ["payments/s", *(f"{each.rate:,}" for each in found)],
        [
            ["api, vCPU", *(f"{each.api_vcpu:,.1f}" for each in found)],
            ["writers, ACU", *(f"{each.acu:,.0f}" for each in found)],
            [f"clusters or shards of {model.MOST_ACU} ACUs", *(f"{each.clusters:,}" for each in found)],
            ["connections during a deployment", *(f"{each.connections:,}" for each in found)],
            ["write-ahead log, MB/s", *(f"{each.wal_bytes_per_second / 1e6:,.1f}" for each in found)],
            ["stored, GB a day", *(f"{each.stored_bytes_per_day / 1e9:,.0f}" for each in found)],
            ["hours until a cluster's transaction ids are used", *(f"{each.hours_of_ids:,.0f}" for each in found)],
        ],
    )


def _costs() -> str:
    rows = []
    for rate in (1, 100, 1_000):
        today = cost(rate, api_seconds=model.API_SECONDS, database_seconds=model.DATABASE_SECONDS)
        before = cost(rate, api_seconds=model.EARLIER_API_SECONDS, database_seconds=model.EARLIER_DATABASE_SECONDS)
        parts = (today.api, today.database, today.by_request, today.fixed, today.total, before.total)
        rows.append([f"{rate:,}", *(f"{dollars:.2f}" for dollars in parts)])
    return _table(
        ["payments/s, all month", "api and worker", "database", "by request", "at rest", "**today**", "before"], rows
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "measured": _measured,
    "tasks": _tasks,
    "databases": _databases,
    "limits": _limits,
    "rates": _rates,
    "costs": _costs,
}
