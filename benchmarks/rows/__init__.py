"""The rows of the bench."""

from collections.abc import Mapping

from benchmarks.rows import balancer, census, create, load, process, stored, worker
from benchmarks.rows.row import Row

ALL: Mapping[str, Row] = {
    row.name: row
    for row in (*census.ROWS, *create.ROWS, *load.ROWS, *worker.ROWS, *process.ROWS, *stored.ROWS, *balancer.ROWS)
}
#: What `make bench` runs without ONLY: less than ten minutes.
DEFAULT: tuple[str, ...] = tuple(row.name for row in ALL.values() if row.by_default)
