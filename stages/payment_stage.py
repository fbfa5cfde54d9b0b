"""PaymentStage: one environment, from its network to its dashboard."""

from aws_cdk import CfnOutput, Environment, Stage
from constructs import Construct

from stages.config import EnvironmentConfig
from stages.database import DatabaseStack
from stages.monitoring import MonitoringStack
from stages.naming import tag_all
from stages.network import NetworkStack
from stages.service import ServiceStack


class PaymentStage(Stage):
    """All stacks of one environment. Two stages differ in their configuration only.

    Attributes:
        api_url: output with the base URL of the API, for the steps after the deployment.
        smoke_key_secret_arn: output with the complete ARN of the smoke checks' key.
        smoke_key_secret_name: name of that secret, known before it exists.
        smoke_reader_role_arn: the role in the environment's account that may read that secret and nothing else; the
            pipeline's account may assume it.
        dashboard_url: output with the console address of the dashboard.
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
            secrets=database.secrets.arns,
            alarm_topic=network.alarm_topic,
        )
        monitoring = MonitoringStack(
            self,
            "Monitoring",
            config=config,
            alarm_topic=network.alarm_topic,
            metrics=service.metrics,
        )
        self.api_url: CfnOutput = service.api_url
        self.smoke_key_secret_arn: CfnOutput = service.smoke_key_secret_arn
        self.smoke_key_secret_name = config.names.smoke_key
        self.smoke_reader_role_arn = config.names.smoke_reader_role_arn
        self.dashboard_url: CfnOutput = monitoring.dashboard_url
        tag_all(self, config.names)
