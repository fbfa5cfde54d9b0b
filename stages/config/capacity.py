"""The capacity of one environment: task sizes and counts, database capacity, retention."""

from collections.abc import Mapping
from dataclasses import dataclass

from kit.configuration import ConfigurationError
from stages.config import capacity_model as model

#: Task sizes of Fargate: CPU units to the memory sizes in MiB that they can be combined with.
FARGATE_SIZES: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
}
#: Retention periods of CloudWatch Logs in days.
LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288,
                      3653)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CapacityConfig:
    """The capacity of an environment. The defaults suit an evaluation and a small production environment alike."""

    #: CPU units of an api task (1024 is one vCPU).
    api_cpu: int = 512
    #: Memory of an api task in MiB.
    api_memory_mib: int = 1024
    #: Minimum number of api tasks; two, so that losing one zone is not an outage.
    api_min_tasks: int = 2
    #: Maximum number of api tasks.
    api_max_tasks: int = 10
    #: CPU units of a worker task.
    worker_cpu: int = 256
    #: Memory of a worker task in MiB.
    worker_memory_mib: int = 512
    #: Minimum number of worker tasks.
    worker_min_tasks: int = 1
    #: Maximum number of worker tasks.
    worker_max_tasks: int = 2
    #: Requests per minute and api task above which another task is started; none: what the capacity model says for
    #: `api_cpu` (docs/capacity.md).
    requests_per_task_per_minute: int | None = None
    #: Minimum Aurora capacity units (ACUs, 2 GiB of memory each); 0.5 is the smallest value that never pauses.
    database_min_acu: float = 0.5
    #: Maximum Aurora capacity units (ACUs). `max_connections` follows from it, after a reboot of both instances.
    database_max_acu: float = 4.0
    #: Retention of automated backups in days (1-35), while the environment exists.
    backup_retention_days: int = 7
    #: Retention of log groups in days, one of `LOG_RETENTION_DAYS`.
    log_retention_days: int = 30

    def __post_init__(self) -> None:
        """Validate sizes and ranges.

        Raises:
            ConfigurationError: AWS does not offer a size, or a range is empty.
        """
        for kind in ("api", "worker"):
            cpu, memory = getattr(self, f"{kind}_cpu"), getattr(self, f"{kind}_memory_mib")
            if memory not in FARGATE_SIZES.get(cpu, ()):
                sizes = "; ".join(f"{units}: {mib[0]}-{mib[-1]}" for units, mib in FARGATE_SIZES.items())
                raise ConfigurationError(
                    f"{kind}_cpu, {kind}_memory_mib: Fargate does not offer {cpu} CPU units with {memory} MiB. "
                    f"Use one of these combinations (CPU units: MiB): {sizes}."
                )
            self._check_range(f"{kind}_min_tasks", f"{kind}_max_tasks", minimum=1, maximum=100)
        self._check_range("database_min_acu", "database_max_acu", minimum=0.5, maximum=256)
        if any(acu * 2 != int(acu * 2) for acu in (self.database_min_acu, self.database_max_acu)):
            raise ConfigurationError("database_min_acu, database_max_acu: use multiples of 0.5 ACU.")
        if self.database_max_acu < 1:
            raise ConfigurationError("database_max_acu: Aurora's smallest maximum is 1 ACU.")
        if not 1 <= self.request_target <= 1_000_000:
            raise ConfigurationError("requests_per_task_per_minute: must be between 1 and 1000000.")
        if not 1 <= self.backup_retention_days <= 35:
            raise ConfigurationError("backup_retention_days: Aurora keeps backups for 1 to 35 days.")
        if self.log_retention_days not in LOG_RETENTION_DAYS:
            raise ConfigurationError(
                f"log_retention_days: CloudWatch Logs does not offer a retention of {self.log_retention_days} days. "
                f"Use one of {', '.join(map(str, LOG_RETENTION_DAYS))}."
            )
        self._check_connections()

    @property
    def request_target(self) -> int:
        """Requests per minute and api task above which another task is started."""
        if self.requests_per_task_per_minute is None:
            return model.requests_per_task_per_minute(self.api_cpu)
        return self.requests_per_task_per_minute

    @property
    def rate_limit(self) -> int:
        """Requests in five minutes that the firewall lets pass from one address, and with one API key."""
        return model.rate_limit(api_cpu=self.api_cpu, api_tasks=self.api_max_tasks, max_acu=self.database_max_acu)

    @property
    def max_connections(self) -> int:
        """Connections that the database accepts."""
        return model.max_connections(self.database_min_acu, self.database_max_acu)

    def _check_connections(self) -> None:
        """Refuse more tasks than the database has connections for while a deployment runs each of them twice."""
        api, worker, least_acu = self.api_max_tasks, self.worker_max_tasks, self.database_min_acu
        most = model.most_connections(api, worker)
        usable = model.usable_connections(least_acu, self.database_max_acu)
        if most <= usable:
            return
        tasks = model.most_tasks(usable)
        ways = [f"api_max_tasks to at most {tasks - worker}"] if tasks > worker else []
        ways += [f"worker_max_tasks to at most {tasks - api}"] if tasks > api else []
        if not ways:
            ways = [f"api_max_tasks and worker_max_tasks to at most {tasks} together"]
        acu = model.least_acu(most, least_acu)
        ways += [f"database_max_acu to at least {acu:g}"] if acu else []
        raise ConfigurationError(
            f"api_max_tasks={api}, worker_max_tasks={worker}: during a deployment they open up to {most} connections, "
            f"but {self.database_max_acu:g} ACUs (with database_min_acu {least_acu:g}) allow {usable}. "
            f"Set {', or '.join(ways)}."
        )

    def _check_range(self, low: str, high: str, *, minimum: float, maximum: float) -> None:
        if not minimum <= getattr(self, low) <= getattr(self, high) <= maximum:
            raise ConfigurationError(
                f"{low}={getattr(self, low)}, {high}={getattr(self, high)}: "
                f"must satisfy {minimum:g} <= {low} <= {high} <= {maximum:g}."
            )
