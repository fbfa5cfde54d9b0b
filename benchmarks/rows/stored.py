"""The row of a table that is already large: payments beside a million stored ones, also across a checkpoint."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks import loads
from benchmarks.blocks import Subject
from benchmarks.report import ratio_table, subject_table
from benchmarks.rows.row import Row
from benchmarks.service import Process
from benchmarks.stand import Stand

_DATABASE = "stored"
_SQL = Path(__file__).with_name("stored.sql")
_BATCH = 50_000


def stored(stand: Stand) -> object:
    """Measure payments on a small and on a large database of the same server."""
    count = stand.options.stored_payments
    stand.server.create_service_database(_DATABASE)
    stand.service.migrate(PGDATABASE=_DATABASE)
    _fill(stand, count)
    api = stand.service.start_api(name="api-stored", PGDATABASE=_DATABASE)
    fresh, large = "few payments stored", f"{count} payments stored"
    across = "the same, with a checkpoint"
    try:
        blocks = stand.interleave(
            [
                _subject(stand, fresh, stand.api),
                _subject(stand, large, api),
                _subject(stand, across, api, checkpoint=True),
            ]
        )
    finally:
        stand.service.discard(api)
    stand.console.print(subject_table("Payments beside stored ones", blocks))
    stand.console.print(ratio_table(large, (fresh,), blocks), ratio_table(across, (fresh,), blocks))
    return blocks


def _subject(stand: Stand, name: str, api: Process, *, checkpoint: bool = False) -> Subject:
    @contextmanager
    def around() -> Iterator[None]:
        with stand.service.paused(besides=api):
            timer = threading.Timer(
                stand.options.block_seconds / 3, stand.server.execute, args=("postgres", "CHECKPOINT")
            )
            if checkpoint:
                timer.start()
            yield
            if checkpoint:
                timer.join()

    return Subject(name=name, around=around, load=lambda begin: loads.https(stand.work(api.port, "create"), begin))


def _fill(stand: Stand, count: int) -> None:
    statement = _SQL.read_bytes()
    with psycopg.connect(stand.server.conninfo(_DATABASE), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for first in range(1, count + 1, _BATCH):
            last = min(first + _BATCH - 1, count)
            connection.execute(statement, {"first": first, "last": last})
            stand.console.print(f"  {last} of {count} payments stored", end="\r")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    stand.console.print()


ROWS = (Row(name="stored", title="payments beside stored ones (STORED_PAYMENTS)", run=stored, by_default=False),)
