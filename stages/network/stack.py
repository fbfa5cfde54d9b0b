"""The network stack: what everything else builds on and must not outlive."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from kit.custom_resources import RestrictedDefaultSecurityGroup
from stages.config.environment import EnvironmentConfig
from stages.network.alarm_topic import AlarmTopic
from stages.network.encryption import EnvironmentKey
from stages.network.security_groups import SecurityGroups
from stages.network.vpc import Network


class NetworkStack(Stack):
    """The environment's key, its VPC, its security groups, and the alarm topic.

    The topic is here rather than with the dashboard because the services' deployment alarms must exist before the
    services, and publish to it (docs/decisions/0102-stack-contents.md).

    Attributes:
        key: Encrypts everything at rest in the environment.
        network: The VPC.
        groups: The security groups.
        alarm_topic: The topic that alarms publish to.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig) -> None:
        self._zone_ids = list(config.availability_zone_ids)  # the base class reads them during construction
        super().__init__(
            scope,
            construct_id,
            stack_name=config.names.stack("network"),
            description=f"Payment API, {config.environment_suffix}: key, network, alarm topic",
            env=Environment(account=config.account, region=config.region),
        )
        self.key = EnvironmentKey(self, "Encryption", config=config).key
        self.network = Network(self, "Network", config=config, key=self.key)
        self.groups = SecurityGroups(self, "SecurityGroups", config=config, vpc=self.network.vpc)
        RestrictedDefaultSecurityGroup(
            self,
            "DefaultGroup",
            target=config,
            key=self.key,
            group_id=self.network.vpc.vpc_default_security_group,
        )
        self.alarm_topic = AlarmTopic(self, "AlarmTopic", config=config, key=self.key).topic
        self._add_outputs()

    def _add_outputs(self) -> None:
        subnets = ",".join(subnet.subnet_id for subnet in self.network.vpc.private_subnets)
        group = self.groups.worker.security_group_id
        CfnOutput(
            self,
            "AdminNetwork",
            value=f"awsvpcConfiguration={{subnets=[{subnets}],securityGroups=[{group}],assignPublicIp=DISABLED}}",
            description="Network configuration of administrators' commands, for aws ecs run-task",
        )

    @property
    def availability_zones(self) -> list[str]:
        """The zone ids, instead of the zone names that CDK would look up in the account."""
        return self._zone_ids
