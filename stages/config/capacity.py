"""The capacity of one environment: task sizes and counts, database capacity, retention."""

from collections.abc import Mapping
from dataclasses import dataclass

from kit.configuration import ConfigurationError

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
    #: Requests per minute and api task above which another task is started: about 60 % of the 4,800 payments per minute
    #: that half a vCPU handles at the measured 6.2 ms of CPU time per payment (`make bench` measures a machine), so
    #: that a load increase within one scaling interval is absorbed.
    requests_per_task_per_minute: int = 3_000
    #: Minimum Aurora capacity units (ACUs, 2 GiB of memory each); 0.5 is the smallest value that never pauses.
    database_min_acu: float = 0.5
    #: Maximum Aurora capacity units (ACUs).
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
        if not 1 <= self.requests_per_task_per_minute <= 1_000_000:
            raise ConfigurationError("requests_per_task_per_minute: must be between 1 and 1000000.")
        if not 1 <= self.backup_retention_days <= 35:
            raise ConfigurationError("backup_retention_days: Aurora keeps backups for 1 to 35 days.")
        if self.log_retention_days not in LOG_RETENTION_DAYS:
            raise ConfigurationError(
                f"log_retention_days: CloudWatch Logs does not offer a retention of {self.log_retention_days} days. "
                f"Use one of {', '.join(map(str, LOG_RETENTION_DAYS))}."
            )

    def _check_range(self, low: str, high: str, *, minimum: float, maximum: float) -> None:
        if not minimum <= getattr(self, low) <= getattr(self, high) <= maximum:
            raise ConfigurationError(
                f"{low}={getattr(self, low)}, {high}={getattr(self, high)}: "
                f"must satisfy {minimum:g} <= {low} <= {high} <= {maximum:g}."
            )
