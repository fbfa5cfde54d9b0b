"""The capacity model: what was measured, what AWS documents, and what follows from both.

Stacks, `CapacityConfig` and docs/capacity.md read their numbers from here. Each measured figure is one constant: after
`make bench`, correct it and run `python -m benchmarks.capacity`, which rewrites the tables and the chart.
"""

import math
from itertools import pairwise

#: Seconds of processor time that one payment costs, captured at once, with 16 requests in flight: medians of `make
#: bench ONLY=create,census` on a shared core with CPython 3.11. That a core of that machine does as much as a vCPU of
#: Fargate or Aurora is an assumption.
API_SECONDS, DATABASE_SECONDS = 4.9e-3, 4.75e-3
#: What one payment costs in PostgreSQL. Trips and statements are today's; the seconds above and the write-ahead log are
#: of a run before docs/decisions/0319-diet.md took some per cent off them, so they are on the safe side.
ROUND_TRIPS, STATEMENTS, COMMITS, WAL_RECORDS, WAL_BYTES = 4, 18, 3, 60, 7_900
#: The same before statements travelled together (docs/decisions/0317-statements-travel-together.md).
EARLIER_API_SECONDS, EARLIER_DATABASE_SECONDS, EARLIER_ROUND_TRIPS = 9.05e-3, 7.07e-3, 15
#: Bytes that a payment takes in tables and indexes, without webhooks, as a test measures it; a fifth of them are its
#: Idempotency-Key, which is deleted after a day.
STORED_BYTES = 4_400

#: Share of a processor that may be busy: leaves room to lose one task of three, and for a new one to start.
UTILIZATION = 0.6
#: vCPU that an api process can use: its Python code runs on one core at a time.
MOST_USEFUL_VCPU = 1.0
#: vCPU of an ACU. AWS documents 2 GiB of memory and "corresponding" CPU; its memory-optimized classes have 8 GiB for
#: each vCPU, so this is an assumption.
VCPU_PER_ACU = 0.25
#: The most ACUs that an instance of Aurora Serverless v2 can have.
MOST_ACU = 256

#: Connections of one api or worker task: its pool (DB_POOL_SIZE), and the sandbox's journal beside it.
POOL, JOURNAL_POOL = 16, 8
TASK_CONNECTIONS = POOL + JOURNAL_POOL
#: Connections of an administrator's command, of which one runs at a time. `migrate` needs fewer than the task whose
#: pools are not open yet.
ADMIN_CONNECTIONS = 4 + JOURNAL_POOL
#: Releases of a service that run at the same time: a deployment may start all new tasks before it stops an old one.
RELEASES = 2
#: Connections left to PostgreSQL's and RDS's own reserves (3 are PostgreSQL's), and to a person with `psql`.
RESERVED_CONNECTIONS = 15
#: Share of `max_connections` above which somebody should know.
CONNECTIONS_ALARM = 0.8

#: Maximum ACUs to `max_connections`, as AWS documents them
#: (https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html).
_MAX_CONNECTIONS = ((1.0, 189), (4.0, 823), (8.0, 1_669), (16.0, 3_360), (32.0, 5_000), (256.0, 5_000))
#: `max_connections` at most, from the same page, where the minimum is at most half an ACU.
_SMALL_MINIMUM, _CAP_FOR_SMALL_MINIMUM = 0.5, 2_000

#: Requests of one address or key in five minutes that the firewall lets pass in any environment.
LEAST_RATE_LIMIT = 30_000
_RATE_WINDOW_SECONDS = 300


def max_connections(min_acu: float, max_acu: float) -> int:
    """Return the connections that the database accepts, reserved ones included.

    Aurora derives them from the maximum capacity, whatever the current one is. Between two documented capacities this
    is a straight line, rounded down. It is a static parameter: after a change of the range it needs a reboot.
    """
    found = next(
        low_value + (high_value - low_value) * (max_acu - low) / (high - low)
        for (low, low_value), (high, high_value) in pairwise(_MAX_CONNECTIONS)
        if max_acu <= high
    )
    return min(int(found), _CAP_FOR_SMALL_MINIMUM) if min_acu <= _SMALL_MINIMUM else int(found)


def most_connections(api_tasks: int, worker_tasks: int) -> int:
    """Return the connections that all tasks can open, during a deployment and beside an administrator's command."""
    return RELEASES * (api_tasks + worker_tasks) * TASK_CONNECTIONS + ADMIN_CONNECTIONS


def most_tasks(connections: int) -> int:
    """Return how many tasks of both services fit into as many connections; the inverse of `most_connections`."""
    return (connections - ADMIN_CONNECTIONS) // (RELEASES * TASK_CONNECTIONS)


def usable_connections(min_acu: float, max_acu: float) -> int:
    """Return the connections that tasks may open."""
    return max_connections(min_acu, max_acu) - RESERVED_CONNECTIONS


def least_acu(connections: int, min_acu: float) -> float | None:
    """Return the smallest maximum capacity in ACUs with as many usable connections, if there is one."""
    steps = (step / 2 for step in range(2, 2 * MOST_ACU + 1))
    return next((acu for acu in steps if usable_connections(min_acu, acu) >= connections), None)


def task_rate(cpu: int) -> float:
    """Return the payments a second that an api task with ``cpu`` CPU units sustains at the target utilization."""
    return UTILIZATION * min(cpu / 1024, MOST_USEFUL_VCPU) / API_SECONDS


def database_rate(acu: float) -> float:
    """Return the payments a second that the writer sustains at the target utilization."""
    return UTILIZATION * acu * VCPU_PER_ACU / DATABASE_SECONDS


def requests_per_task_per_minute(cpu: int) -> int:
    """Return the requests at which another api task is started, as if each were a payment; rounded down to hundreds."""
    return max(100, math.floor(task_rate(cpu) * 60 / 100) * 100)


def rate_limit(*, api_cpu: int, api_tasks: int, max_acu: float) -> int:
    """Return the requests in five minutes that one address or key may send: all that the environment sustains.

    A merchant's server is one address with one key, and is not throttled below what was paid for. Rounded down to
    thousands.
    """
    sustained = min(api_tasks * task_rate(api_cpu), database_rate(max_acu))
    return max(LEAST_RATE_LIMIT, math.floor(sustained * _RATE_WINDOW_SECONDS / 1_000) * 1_000)
