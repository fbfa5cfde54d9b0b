"""What is watched besides the deployment alarms: tasks, database, backlogs."""

from collections.abc import Iterator

from stages.alarms import AlarmSpec
from stages.config import EnvironmentConfig
from stages.metrics import ServiceMetrics

MAX_DATABASE_CPU = 80
#: Minutes. The worker looks at an orphan within 5 s and backs off; ten minutes mean that it does not get on.
MAX_RECOVERY_MINUTES, MAX_WEBHOOK_MINUTES = 10, 15
#: Minutes after which the service calls an attempt stuck (`STUCK_AFTER` in its domain, which tests compare).
STUCK_MINUTES = 30


def specs(metrics: ServiceMetrics, config: EnvironmentConfig) -> Iterator[AlarmSpec]:
    """All alarms of the monitoring stack."""
    yield AlarmSpec(
        name="unhealthy-targets",
        sentence="At least one api task has failed its health check for {minutes} minutes.",
        metric=metrics.unhealthy_targets(),
        threshold=0,
        periods=5,
    )
    for service in ("api", "worker"):
        yield AlarmSpec(
            name=f"{service}-tasks",
            sentence=f"Fewer {service} tasks run than should, for {{minutes}} minutes.",
            metric=metrics.tasks_missing(service),
            threshold=0,
            periods=10,
        )
    yield AlarmSpec(
        name="database-cpu",
        sentence="The database's CPU has been above {threshold} % for {minutes} minutes.",
        metric=metrics.database_metric("CPUUtilization", statistic="Maximum"),
        threshold=MAX_DATABASE_CPU,
        periods=5,
    )
    yield AlarmSpec(
        name="database-capacity",
        sentence=f"The database has used all of its {config.capacity.database_max_acu:g} ACUs for {{minutes}} minutes.",
        metric=metrics.database_metric("ACUUtilization", statistic="Maximum"),
        threshold=99,
        periods=15,
    )
    yield AlarmSpec(
        name="recovery-backlog",
        sentence=f"A payment whose outcome is unknown has not been settled for {MAX_RECOVERY_MINUTES} minutes.",
        metric=metrics.business("RecoveryBacklogAge", statistic="Maximum"),
        threshold=MAX_RECOVERY_MINUTES * 60,
    )
    yield AlarmSpec(
        name="stuck-payments",
        sentence=f"A payment's outcome could not be found out in {STUCK_MINUTES} minutes: a person has to settle it.",
        metric=metrics.business("StuckAttempts", statistic="Maximum"),
        threshold=0,
    )
    yield AlarmSpec(
        name="webhook-backlog",
        sentence=f"A webhook that is due has been waiting for {MAX_WEBHOOK_MINUTES} minutes.",
        metric=metrics.business("WebhookBacklogAge", statistic="Maximum"),
        threshold=MAX_WEBHOOK_MINUTES * 60,
    )
