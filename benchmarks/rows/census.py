"""What one payment asks of PostgreSQL: counted on the wire and in the write-ahead log, one payment at a time."""

from collections import Counter
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks import loads
from benchmarks.errors import BenchError
from benchmarks.rows.row import Row
from benchmarks.stand import Stand
from benchmarks.wire import Traffic, tap

_PAYMENTS = 200
#: More than psycopg takes until it prepares a statement, on every connection.
_WARM_UP = 60
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counts a payment."""

    statements: float
    round_trips: float
    commits: float
    wal_records: float
    wal_bytes: float
    #: Records of the write-ahead log by their type.
    records: dict[str, float]


def census(stand: Stand) -> object:
    """Send payments one by one through a tap, with an api of their own."""
    stand.server.execute("postgres", "CREATE EXTENSION IF NOT EXISTS pg_walinspect")
    with tap(stand.server.port) as (port, traffic):
        api = stand.service.start_api(name="api-census", PGPORT=str(port))
        try:
            _pay(stand, api.port, _WARM_UP)
            with stand.service.paused(besides=api), stand.server.without_autovacuum():
                result = _count(stand, api.port, traffic)
        finally:
            stand.service.discard(api)
    table = Table(title="What one payment asks of PostgreSQL", title_style="", box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("a payment", justify="right")
    for name in ("statements", "round_trips", "commits", "wal_records", "wal_bytes"):
        table.add_row(name.replace("_", " "), f"{getattr(result, name):.1f}")
    for name, count in sorted(result.records.items(), key=lambda item: -item[1])[:8]:
        table.add_row(f"  {name}", f"{count:.1f}", style="dim")
    stand.console.print(table)
    return result


def _count(stand: Stand, port: int, traffic: Traffic) -> Census:
    begun, wal = Traffic(statements=traffic.statements, round_trips=traffic.round_trips), stand.server.wal_position()
    _pay(stand, port, _PAYMENTS)
    # pg_walinspect reads what is flushed; a commit that nobody waited for may not be yet.
    stand.server.execute("postgres", "CREATE TABLE census_ends (); DROP TABLE census_ends")
    end = stand.server.wal_position()
    records = _records(stand, wal, end)
    return Census(
        statements=(traffic.statements - begun.statements) / _PAYMENTS,
        round_trips=(traffic.round_trips - begun.round_trips) / _PAYMENTS,
        commits=records["Transaction/COMMIT"] / _PAYMENTS,
        wal_records=records.total() / _PAYMENTS,
        wal_bytes=(end - wal) / _PAYMENTS,
        records={name: count / _PAYMENTS for name, count in records.items() if count >= _PAYMENTS / 2},
    )


def _records(stand: Stand, begin: int, end: int) -> Counter[str]:
    found = stand.server.query(
        "postgres",
        'SELECT "resource_manager/record_type", count FROM pg_get_wal_stats('
        "'0/0'::pg_lsn + %s, least('0/0'::pg_lsn + %s, pg_current_wal_flush_lsn()), true) WHERE count > 0",
        [begin, end],
    )
    return Counter({str(name): int(str(count)) for name, count in found})


def _pay(stand: Stand, port: int, payments: int) -> None:
    done = loads.generate(stand.work(port, "create", seconds=_LONGEST_SECONDS, connections=1, flows=payments))
    if done.succeeded != payments:
        raise BenchError(f"{payments} payments were sent, {done.succeeded} succeeded: {done.failures}")


ROWS = (Row(name="census", title="statements, round trips, commits and write-ahead log of a payment", run=census),)
