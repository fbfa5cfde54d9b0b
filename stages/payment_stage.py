"""PaymentStage: one environment, from its network to its dashboard."""

from aws_cdk import Environment, Stage
from constructs import Construct

from kit.naming import tag_all
from stages.config.environment import EnvironmentConfig
from stages.database.stack import DatabaseStack
from stages.monitoring.stack import MonitoringStack
from stages.network.stack import NetworkStack
from stages.service.stack import ServiceStack


class PaymentStage(Stage):
    """All stacks of one environment. Stages differ in their configuration only.

    Attributes:
        config: The configuration of the environment.
        api_url: Output with the base URL of the API, for the steps after the deployment.
        dashboard_url: Output with the console URL of the dashboard.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig) -> None:
        super().__init__(scope, construct_id, env=Environment(account=config.account, region=config.region))
        self.config = config
        network = NetworkStack(self, "Network", config=config)
        database = DatabaseStack(
            self, "Database", config=config, key=network.key, network=network.network, group=network.groups.database
        )
        service = ServiceStack(
            self,
            "Service",
            config=config,
            key=network.key,
            vpc=network.network.vpc,
            groups=network.groups,
            database=database.cluster,
            credentials=database.credentials.arns,
            alarm_topic=network.alarm_topic,
        )
        monitoring = MonitoringStack(
            self, "Monitoring", config=config, alarm_topic=network.alarm_topic, metrics=service.metrics
        )
        self.api_url = service.api_url
        self.dashboard_url = monitoring.dashboard_url
        tag_all(self, config.names)
