"""The alarms besides the deployment alarms: tasks, database, backlogs."""

from collections.abc import Iterator

from kit.alarms import AlarmSpec
from stages.config.capacity_model import CONNECTIONS_ALARM
from stages.config.environment import EnvironmentConfig
from stages.service.metrics import ServiceMetrics

#: Per cent.
MAX_DATABASE_CPU, MAX_CONNECTIONS = 80, round(CONNECTIONS_ALARM * 100)
#: Minutes. The worker picks up an unfinished attempt within 5 s and backs off; after ten minutes it makes no progress.
MAX_RECOVERY_MINUTES, MAX_WEBHOOK_MINUTES = 10, 15
#: Minutes. Every reader of events and ledger reads within seconds, unless an open transaction holds it back.
MAX_UNREAD_MINUTES = 5
#: Minutes after which the service considers an attempt stuck (`STUCK_AFTER` in its domain, which tests compare).
STUCK_MINUTES = 30


def alarm_specs(metrics: ServiceMetrics, config: EnvironmentConfig) -> Iterator[AlarmSpec]:
    """Yield all alarms of the monitoring stack."""
    yield AlarmSpec(
        name="unhealthy-targets",
        summary="At least one api task has failed its health check for {minutes} minutes.",
        metric=metrics.unhealthy_targets(),
        threshold=0,
        periods=5,
    )
    for service in ("api", "worker"):
        yield AlarmSpec(
            name=f"{service}-tasks",
            summary=f"Fewer {service} tasks than desired have been running for {{minutes}} minutes.",
            metric=metrics.tasks_missing(service),
            threshold=0,
            periods=10,
        )
    yield AlarmSpec(
        name="database-cpu",
        summary="The database's CPU utilization has been above {threshold} % for {minutes} minutes.",
        metric=metrics.database_metric("CPUUtilization", statistic="Maximum"),
        threshold=MAX_DATABASE_CPU,
        periods=5,
    )
    yield AlarmSpec(
        name="database-capacity",
        summary=f"The database has used all of its {config.capacity.database_max_acu:g} ACUs for {{minutes}} minutes.",
        metric=metrics.database_metric("ACUUtilization", statistic="Maximum"),
        threshold=99,
        periods=15,
    )
    connections = config.capacity.max_connections
    yield AlarmSpec(
        name="database-connections",
        summary=f"More than {MAX_CONNECTIONS} % of the database's {connections:,} connections are open.",
        metric=metrics.database_metric("DatabaseConnections", statistic="Maximum"),
        threshold=connections * MAX_CONNECTIONS // 100,
    )
    yield AlarmSpec(
        name="recovery-backlog",
        summary=f"A payment with an unknown outcome has been waiting for recovery for {MAX_RECOVERY_MINUTES} minutes.",
        metric=metrics.business("RecoveryBacklogAge", statistic="Maximum"),
        threshold=MAX_RECOVERY_MINUTES * 60,
    )
    yield AlarmSpec(
        name="stuck-payments",
        summary=f"A payment's outcome has remained unknown for {STUCK_MINUTES} minutes: a person has to settle it.",
        metric=metrics.business("StuckAttempts", statistic="Maximum"),
        threshold=0,
    )
    yield AlarmSpec(
        name="unmapped-events",
        summary="The processor has changed something that cannot be booked: a person has to look.",
        metric=metrics.business("UnmappedProcessorEvents", statistic="Maximum"),
        threshold=0,
    )
    yield AlarmSpec(
        name="processor-configuration",
        summary="The processor refuses our key, account or software: payments wait until that is mended.",
        metric=metrics.business("MisconfiguredAttempts", statistic="Maximum"),
        threshold=0,
        periods=1,
    )
    yield AlarmSpec(
        name="webhook-backlog",
        summary=f"A webhook has been overdue for {MAX_WEBHOOK_MINUTES} minutes.",
        metric=metrics.business("WebhookBacklogAge", statistic="Maximum"),
        threshold=MAX_WEBHOOK_MINUTES * 60,
    )
    yield AlarmSpec(
        name="readers-held-back",
        summary=f"An event or ledger entry is unread for {MAX_UNREAD_MINUTES} minutes: a transaction may be open.",
        metric=metrics.business("OldestUnreadAge", statistic="Maximum"),
        threshold=MAX_UNREAD_MINUTES * 60,
    )
