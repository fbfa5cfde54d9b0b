"""Who may connect to whom: all security groups and all their rules in one place, ingress and egress alike.

internet -> alb:443, alb:80 (redirect only)
with canary deployments: the VPC -> alb:9443 (the release under test)
alb -> api:8443
api, worker -> database:5432
api, worker -> internet:443 (processor, webhook receivers, AWS endpoints)

Administrators' commands run in the worker's group: they need the same egress, and no ingress.
"""

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from kit.acknowledgements import acknowledge
from stages.config.environment import EnvironmentConfig
from stages.network.vpc import CIDR

HTTP, HTTPS, TEST_PORT, API_PORT, DATABASE_PORT = 80, 443, 9443, 8443, 5432


class SecurityGroups(Construct):
    """The four security groups.

    Other stacks import them (`import_security_group`): a rule added there would make stacks depend on each other in
    both directions.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, vpc: ec2.IVpc) -> None:
        super().__init__(scope, construct_id)
        self._names, self._vpc = config.names, vpc
        # Descriptions of groups cannot change without replacing them.
        self.alb = self._group("alb", "Load balancer: HTTPS from anywhere, HTTP for the redirect")
        self.api = self._group("api", "Api tasks: requests from the load balancer")
        self.worker = self._group("worker", "Worker tasks: no way in")
        self.database = self._group("database", "Database: from api and worker tasks")
        anywhere = ec2.Peer.any_ipv4()
        self.alb.add_ingress_rule(anywhere, ec2.Port.tcp(HTTPS), "HTTPS from anywhere")
        self.alb.add_ingress_rule(anywhere, ec2.Port.tcp(HTTP), "HTTP from anywhere, redirected to HTTPS")
        if config.uses_canary:  # never from the internet: nobody has approved this release yet
            self.alb.add_ingress_rule(ec2.Peer.ipv4(CIDR), ec2.Port.tcp(TEST_PORT), "test traffic from inside the VPC")
        self._connect(self.alb, self.api, API_PORT, "load balancer to api tasks")
        self._connect(self.api, self.database, DATABASE_PORT, "api tasks to database")
        self._connect(self.worker, self.database, DATABASE_PORT, "worker tasks to database")
        for group in (self.api, self.worker):
            group.add_egress_rule(anywhere, ec2.Port.tcp(HTTPS), "processor, webhook receivers, AWS endpoints")
        _deny_other_egress(self.alb)
        acknowledge(
            self.alb,
            "AwsSolutions-EC23",
            "CKV_AWS_260",
            reason="A public API: ports 443 and 80 of the load balancer are open to the internet on purpose, behind "
            "the web ACL; nothing else is.",
        )

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            name.title(),
            vpc=self._vpc,
            security_group_name=self._names.name(f"security-group-{name}"),
            description=description,
            allow_all_outbound=False,
        )
        Tags.of(group).add("Name", self._names.name(f"security-group-{name}"))
        return group

    def _connect(self, source: ec2.SecurityGroup, target: ec2.SecurityGroup, port: int, description: str) -> None:
        source.add_egress_rule(target, ec2.Port.tcp(port), description)
        target.add_ingress_rule(source, ec2.Port.tcp(port), description)


def _deny_other_egress(group: ec2.SecurityGroup) -> None:
    """Keep EC2 from adding "allow all egress" to a group whose egress rules are separate resources.

    EC2 omits its default only where the group itself names a rule; CDK drops the placeholder that it has for this
    purpose as soon as another rule is added. This rule matches no packet.
    """
    resource = group.node.default_child
    assert isinstance(resource, ec2.CfnSecurityGroup)  # noqa: S101 - the L1 resource of a security group
    resource.security_group_egress = [
        ec2.CfnSecurityGroup.EgressProperty(
            ip_protocol="icmp", cidr_ip="255.255.255.255/32", from_port=252, to_port=86, description="nothing else"
        )
    ]


def import_security_group(scope: Construct, construct_id: str, group: ec2.ISecurityGroup) -> ec2.ISecurityGroup:
    """Import a security group of another stack, so that CDK adds no rules of its own to it."""
    return ec2.SecurityGroup.from_security_group_id(
        scope, construct_id, group.security_group_id, allow_all_outbound=False, mutable=False
    )
