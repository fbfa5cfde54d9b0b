"""Monitoring stack: the dashboard, the alarms that roll nothing back, the saved log queries."""

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_sns as sns
from constructs import Construct

from stages.alarms import add_alarm
from stages.config import EnvironmentConfig
from stages.dashboard import PaymentDashboard
from stages.log_queries import LogQueries
from stages.metrics import ServiceMetrics
from stages.watch import specs


class MonitoringStack(Stack):
    """Everything that looks at the other stacks and that nothing depends on."""

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
        for spec in specs(metrics, config):
            add_alarm(self, spec, config=config, topic=alarm_topic)
        dashboard = PaymentDashboard(self, "Dashboard", config=config, metrics=metrics)
        LogQueries(self, "Queries", config=config)
        self.dashboard_url = CfnOutput(
            self, "DashboardUrl", value=dashboard.url, description="The dashboard in the console"
        )
