"""The monitoring stack: the dashboard, the alarms that do not roll back, the saved log queries."""

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_sns as sns
from constructs import Construct

from kit.alarms import add_alarm
from stages.config.environment import EnvironmentConfig
from stages.monitoring.alarms import alarm_specs
from stages.monitoring.dashboard import PaymentDashboard
from stages.monitoring.log_queries import LogQueries
from stages.service.metrics import ServiceMetrics


class MonitoringStack(Stack):
    """Everything that observes the other stacks and that nothing depends on.

    Attributes:
        dashboard_url: Output with the console URL of the dashboard.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        alarm_topic: sns.ITopic,
        metrics: ServiceMetrics,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=config.names.stack("monitoring"),
            description=f"Payment API, {config.environment_suffix}: dashboard, alarms, log queries",
            env=Environment(account=config.account, region=config.region),
        )
        for spec in alarm_specs(metrics, config):
            add_alarm(self, spec, target=config, topic=alarm_topic)
        dashboard = PaymentDashboard(self, "Dashboard", config=config, metrics=metrics)
        LogQueries(self, "Queries", config=config)
        self.dashboard_url = CfnOutput(
            self, "DashboardUrl", value=dashboard.url, description="Console URL of the dashboard"
        )
