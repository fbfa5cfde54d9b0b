"""Where each limit is met, in payments a second, and what takes over there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stages.config import capacity_model as model
from stages.config.capacity import CapacityConfig

Scope = Literal["environment", "cluster", "shards"]

#: Largest storage of an Aurora PostgreSQL cluster, in bytes.
_STORAGE = 128 * 2**40
_YEAR, _DAY = 365 * 86_400, 86_400
#: Transaction ids that PostgreSQL hands out before rows must have been frozen.
_TRANSACTION_IDS = 2**31
#: The most ACUs of a shard group of Aurora PostgreSQL Limitless Database.
LIMITLESS_ACU = 6_144
#: Api tasks that a configuration may ask for.
_MOST_TASKS = 100
#: The rates that the table of demands has.
RATES = (100, 1_000, 10_000, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit, the rate at which it is met, and what is done then."""

    name: str
    #: Payments a second.
    rate: float
    then: str
    scope: Scope


def limits() -> Sequence[Limit]:
    """Return every limit, lowest first."""
    default = CapacityConfig()
    workers = default.worker_max_tasks
    tasks = model.most_tasks(model.usable_connections(1, model.MOST_ACU)) - workers
    found = [
        Limit(
            name=f"database_max_acu {default.database_max_acu:g}, by default",
            rate=model.database_rate(default.database_max_acu),
            then="raise database_max_acu",
            scope="environment",
        ),
        Limit(
            name=f"{default.api_max_tasks} api tasks of {default.api_cpu / 1024:g} vCPU, by default",
            rate=default.api_max_tasks * model.task_rate(default.api_cpu),
            then="raise api_cpu, then api_max_tasks",
            scope="environment",
        ),
        Limit(
            name="128 TiB of storage, kept for a year",
            rate=_STORAGE / model.STORED_BYTES / _YEAR,
            then="partitions by month, old ones to S3",
            scope="cluster",
        ),
        Limit(
            name=f"one writer of {model.MOST_ACU} ACUs",
            rate=model.database_rate(model.MOST_ACU),
            then="shards by merchant",
            scope="cluster",
        ),
        Limit(
            name="transaction ids, all rows frozen daily",
            rate=_TRANSACTION_IDS / model.COMMITS / _DAY,
            then="partitions, frozen once and for good",
            scope="cluster",
        ),
        Limit(
            name=f"{_MOST_TASKS} api tasks of 1 vCPU",
            rate=_MOST_TASKS * model.task_rate(1024),
            then="environments by merchant (cells)",
            scope="environment",
        ),
        Limit(
            name="5,000 connections during a deployment",
            rate=tasks * model.task_rate(1024),
            then="a pooler, or smaller pools",
            scope="cluster",
        ),
        Limit(
            name=f"Limitless Database of {LIMITLESS_ACU:,} ACUs",
            rate=model.database_rate(LIMITLESS_ACU),
            then="environments by merchant (cells)",
            scope="shards",
        ),
    ]
    return sorted(found, key=lambda limit: limit.rate)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a rate takes at the target utilization."""

    rate: int
    api_vcpu: float
    #: ACUs of writers; each has a reader that scales with it.
    acu: float
    #: Clusters with a writer of the most ACUs, or shards.
    clusters: int
    connections: int
    wal_bytes_per_second: float
    stored_bytes_per_day: float
    #: Hours until one cluster has used every transaction id.
    hours_of_ids: float


def demand(rate: int) -> Demand:
    """Return what ``rate`` payments a second take."""
    vcpu = rate * model.API_SECONDS / model.UTILIZATION
    acu = rate * model.DATABASE_SECONDS / model.UTILIZATION / model.VCPU_PER_ACU
    clusters = -(-acu // model.MOST_ACU)
    tasks = int(-(-vcpu // model.MOST_USEFUL_VCPU))
    return Demand(
        rate=rate,
        api_vcpu=vcpu,
        acu=acu,
        clusters=int(clusters),
        connections=model.most_connections(tasks, CapacityConfig().worker_max_tasks),
        wal_bytes_per_second=rate * model.WAL_BYTES,
        stored_bytes_per_day=rate * model.STORED_BYTES * _DAY,
        hours_of_ids=_TRANSACTION_IDS / (rate / clusters * model.COMMITS) / 3_600,
    )
