"""The VPC: three zones by id, three kinds of subnet in each, one NAT gateway, flow logs, an S3 gateway endpoint."""

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, IConstruct

from stages.acknowledgements import acknowledge
from stages.config import EnvironmentConfig
from stages.log_groups import DeclaredLogGroup
from stages.naming import Names
from stages.policies import grant

CIDR = "10.0.0.0/16"


class Network(Construct):
    """Public subnets hold load balancer and NAT gateway, private ones the containers, isolated ones the database.

    One NAT gateway is a deliberate saving (docs/cost.md): losing its zone stops calls to the processor, which the
    worker then settles, but not the API.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        names = config.names
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=names.name("vpc"),
            ip_addresses=ec2.IpAddresses.cidr(CIDR),
            availability_zones=list(config.availability_zone_ids),
            nat_gateways=1,
            restrict_default_security_group=False,  # ClosedDefaultGroup does it with a role of its own
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22),
                ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
        )
        self._name_parts(config)
        self._reach_s3(config)
        self._log_flows(config, key)
        self._acknowledge()

    def zone_of(self, subnet: ec2.ISubnet) -> str:
        """The zone's name in this account, as a reference: known to CloudFormation, not to synthesis."""
        return _resource(subnet).attr_availability_zone

    def _name_parts(self, config: EnvironmentConfig) -> None:
        """Zones by id, and Name tags: what has none of its own would be called as the VPC or the subnet around it."""
        name = config.names.name
        kinds = {
            "public": self.vpc.public_subnets,
            "private": self.vpc.private_subnets,
            "isolated": self.vpc.isolated_subnets,
        }
        for kind, subnets in kinds.items():
            for zone_id, subnet in zip(config.availability_zone_ids, subnets, strict=True):
                resource = _resource(subnet)
                resource.availability_zone = None
                resource.availability_zone_id = zone_id
                _tag(subnet, name(f"subnet-{kind}-{zone_id}"))
                _tag(subnet.node.find_child("RouteTable"), name(f"route-table-{kind}-{zone_id}"))
        _tag(self.vpc.node.find_child("IGW"), name("internet-gateway"))
        outward = self.vpc.public_subnets[0].node  # the one with the NAT gateway
        _tag(outward.find_child("EIP"), name("eip-nat"))
        _tag(outward.find_child("NATGateway"), name("nat-gateway"))

    def _reach_s3(self, config: EnvironmentConfig) -> None:
        """Image layers, and reports in buckets of this account, to which `payments reconcile` is given a signed link.

        All S3 traffic of the region goes this way and not through the NAT gateway, so nothing else gets through.
        """
        endpoint = self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        endpoint.add_to_policy(
            iam.PolicyStatement(
                sid="ImageLayers",
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject"],
                resources=[f"arn:aws:s3:::prod-{config.region}-starport-layer-bucket/*"],
            )
        )
        endpoint.add_to_policy(
            iam.PolicyStatement(
                sid="OwnBuckets",
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject"],
                resources=["arn:aws:s3:::*/*"],
                conditions={"StringEquals": {"aws:ResourceAccount": config.account}},
            )
        )
        _tag(endpoint, config.names.name("vpc-endpoint-s3"))

    def _log_flows(self, config: EnvironmentConfig, key: kms.IKey) -> None:
        names: Names = config.names
        log_group = DeclaredLogGroup(self, "FlowLogs", name=names.flow_logs, config=config, key=key)
        role = iam.Role(
            self,
            "FlowLogRole",
            role_name=names.name("role-flow-logs"),
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": config.account}}
            ),
            description="Lets the VPC write its flow logs",
        )
        policy = grant(
            role,
            name=names.name("policy-flow-logs"),
            statements=[
                iam.PolicyStatement(
                    sid="WriteFlowLogs",
                    actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    resources=[log_group.log_group_arn],
                )
            ],
        )
        flow_log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_type="VPC",
            resource_id=self.vpc.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_group_name=names.flow_logs,
            deliver_logs_permission_arn=role.role_arn,
            max_aggregation_interval=600,
        )
        flow_log.node.add_dependency(policy, log_group)
        _tag(flow_log, names.name("flow-log"))

    def _acknowledge(self) -> None:
        for subnet in self.vpc.public_subnets:
            acknowledge(
                subnet,
                dict.fromkeys(
                    ("NIST.800.53.R5-VPCNoUnrestrictedRouteToIGW", "PCI.DSS.321-VPCNoUnrestrictedRouteToIGW"),
                    "The subnet of load balancer and NAT gateway, which must reach the internet gateway; nothing in "
                    "it gets a public address by itself.",
                ),
            )
        acknowledge(
            self.vpc,
            dict.fromkeys(
                ("NIST.800.53.R5-VPCDefaultSecurityGroupClosed", "PCI.DSS.321-VPCDefaultSecurityGroupClosed"),
                "Closed by Custom::ClosedDefaultGroup in the same stack, which takes all rules from the group; the "
                "rule cannot see that.",
            ),
        )


def _tag(scope: IConstruct, name: str) -> None:
    Tags.of(scope).add("Name", name)


def _resource(subnet: ec2.ISubnet) -> ec2.CfnSubnet:
    resource = subnet.node.default_child
    assert isinstance(resource, ec2.CfnSubnet)  # noqa: S101 - what a subnet construct is made of
    return resource
