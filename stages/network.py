"""Network stack: what everything else stands on, and what must outlive it."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from stages.alarm_topic import AlarmTopic
from stages.cleaner import ClosedDefaultGroup
from stages.config import EnvironmentConfig
from stages.encryption import EnvironmentKey
from stages.security_groups import SecurityGroups
from stages.vpc import Network


class NetworkStack(Stack):
    """The environment's key, its VPC, who may talk to whom, and the topic that alarms go to.

    The topic is here rather than with the dashboard because the services' deployment alarms must exist before the
    services, and publish to it (docs/decisions/0102-stack-contents.md).
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig) -> None:
        self._zone_ids = list(config.availability_zone_ids)  # read by the base class while it is made
        super().__init__(
            scope,
            construct_id,
            stack_name=config.names.stack("network"),
            description=f"Payment API, {config.environment_suffix}: key, network, alarm topic",
            env=Environment(account=config.account, region=config.region),
        )
        self.key = EnvironmentKey(self, "Encryption", names=config.names).key
        self.network = Network(self, "Network", config=config, key=self.key)
        self.groups = SecurityGroups(self, "SecurityGroups", config=config, vpc=self.network.vpc)
        ClosedDefaultGroup(
            self,
            "DefaultGroup",
            config=config,
            key=self.key,
            group_id=self.network.vpc.vpc_default_security_group,
        )
        self.alarm_topic = AlarmTopic(self, "AlarmTopic", config=config, key=self.key).topic
        self._output_admin_network()

    def _output_admin_network(self) -> None:
        """What `aws ecs run-task` wants to know of the network, to run an administrator's command."""
        subnets = ",".join(subnet.subnet_id for subnet in self.network.vpc.private_subnets)
        group = self.groups.worker.security_group_id
        CfnOutput(
            self,
            "AdminNetwork",
            value=f"awsvpcConfiguration={{subnets=[{subnets}],securityGroups=[{group}],assignPublicIp=DISABLED}}",
            description="Network configuration for administrators' commands",
        )

    @property
    def availability_zones(self) -> list[str]:
        """The zone ids, in place of the look-up in the account that CDK would make for zone letters."""
        return self._zone_ids
