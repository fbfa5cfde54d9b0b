"""The dashboard: what clients experience, then the infrastructure, then the business metrics."""

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from stages.config.environment import EnvironmentConfig
from stages.service.metrics import ServiceMetrics

OUTCOMES = ("succeeded", "requires_capture", "requires_action", "processing", "failed")


class PaymentDashboard(Construct):
    """One page per environment.

    Attributes:
        url: Its URL in the console.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, metrics: ServiceMetrics
    ) -> None:
        super().__init__(scope, construct_id)
        name = config.names.name("dashboard")
        self.url = (
            f"https://{config.region}.console.aws.amazon.com/cloudwatch/home?region={config.region}"
            f"#dashboards/dashboard/{name}"
        )
        dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=name)
        dashboard.add_widgets(*_traffic(metrics))
        dashboard.add_widgets(*_containers(metrics))
        dashboard.add_widgets(*_database(metrics))
        dashboard.add_widgets(*_business(metrics))


def _graph(title: str, *left: cloudwatch.IMetric, unit: str, floor: float = 0) -> cloudwatch.GraphWidget:
    axis = cloudwatch.YAxisProps(label=unit, show_units=False, min=floor)
    return cloudwatch.GraphWidget(title=title, left=list(left), left_y_axis=axis, width=8, height=6)


def _traffic(metrics: ServiceMetrics) -> list[cloudwatch.IWidget]:
    return [
        _graph("Latency", *(metrics.latency(each) for each in ("p50", "p90", "p99")), unit="seconds"),
        _graph("Error rate", metrics.error_rate(), unit="% of requests"),
        _graph(
            "Requests",
            metrics.requests(),
            metrics.client_errors(),
            metrics.target_errors(),
            metrics.balancer_errors(),
            metrics.firewall("Blocked"),
            unit="a minute",
        ),
    ]


def _containers(metrics: ServiceMetrics) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Tasks",
            *(metrics.tasks(service, state) for service in ("api", "worker") for state in ("Desired", "Running")),
            unit="tasks",
        ),
        _graph("Task CPU", metrics.service_cpu("api"), metrics.service_cpu("worker"), unit="%"),
        _graph("Targets", metrics.targets("Healthy"), metrics.targets("UnHealthy"), unit="tasks"),
    ]


def _database(metrics: ServiceMetrics) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Database connections",
            metrics.database_metric("DatabaseConnections", statistic="Maximum", label="writer"),
            unit="open",
        ),
        _graph("Database CPU", metrics.database_metric("CPUUtilization", statistic="Maximum"), unit="%"),
        _graph(
            "Database capacity",
            metrics.database_metric("ServerlessDatabaseCapacity", statistic="Maximum", label="per instance"),
            unit="ACU",
        ),
    ]


def _business(metrics: ServiceMetrics) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Payments by outcome",
            *(metrics.business("Payments", Outcome=outcome) for outcome in OUTCOMES),
            unit="a minute",
        ),
        _graph(
            "Processor latency",
            *(metrics.business("ProcessorLatency", statistic=each) for each in ("p50", "p99")),
            unit="milliseconds",
        ),
        _graph(
            "Backlogs",
            metrics.business("RecoveryBacklogAge", statistic="Maximum"),
            metrics.business("WebhookBacklogAge", statistic="Maximum"),
            metrics.business("OldestUnreadAge", statistic="Maximum"),
            unit="seconds, oldest",
        ),
        _graph(
            "Needs a person",
            metrics.business("StuckAttempts", statistic="Maximum"),
            metrics.business("MisconfiguredAttempts", statistic="Maximum"),
            metrics.business("UnmappedProcessorEvents", statistic="Maximum"),
            unit="attempts, events",
        ),
    ]
