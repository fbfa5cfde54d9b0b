"""The VPC: three zones by id, three kinds of subnet in each, one NAT gateway, flow logs, an S3 gateway endpoint."""

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, IConstruct

from kit.acknowledgements import acknowledge
from kit.log_groups import EncryptedLogGroup
from kit.policies import allow, grant
from stages.config.environment import EnvironmentConfig

CIDR = "10.0.0.0/16"


class Network(Construct):
    """The VPC, with public subnets for load balancer and NAT gateway, private ones for containers, isolated for Aurora.

    A single NAT gateway is a deliberate saving (docs/cost.md): losing its zone stops calls to the processor, which the
    worker settles afterwards, but not the API.

    Attributes:
        vpc: The VPC.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=config.names.name("vpc"),
            ip_addresses=ec2.IpAddresses.cidr(CIDR),
            availability_zones=list(config.availability_zone_ids),
            nat_gateways=1,
            restrict_default_security_group=False,  # RestrictedDefaultSecurityGroup does it with a role of its own
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22),
                ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
        )
        self._set_zones_and_names()
        self._add_s3_endpoint()
        self._add_flow_logs(key)
        self._acknowledge_findings()

    def zone_of(self, subnet: ec2.ISubnet) -> str:
        """Return the zone's name in this account as a reference: CloudFormation knows it, synthesis does not."""
        return _subnet_resource(subnet).attr_availability_zone

    def _set_zones_and_names(self) -> None:
        """Set zone ids, and Name tags: parts without one would inherit that of the VPC or subnet around them."""
        config, name = self._config, self._config.names.name
        kinds = {
            "public": self.vpc.public_subnets,
            "private": self.vpc.private_subnets,
            "isolated": self.vpc.isolated_subnets,
        }
        for kind, subnets in kinds.items():
            for zone_id, subnet in zip(config.availability_zone_ids, subnets, strict=True):
                resource = _subnet_resource(subnet)
                resource.availability_zone = None
                resource.availability_zone_id = zone_id
                _tag_name(subnet, name(f"subnet-{kind}-{zone_id}"))
                _tag_name(subnet.node.find_child("RouteTable"), name(f"route-table-{kind}-{zone_id}"))
        _tag_name(self.vpc.node.find_child("IGW"), name("internet-gateway"))
        nat_subnet = self.vpc.public_subnets[0].node
        _tag_name(nat_subnet.find_child("EIP"), name("eip-nat"))
        _tag_name(nat_subnet.find_child("NATGateway"), name("nat-gateway"))

    def _add_s3_endpoint(self) -> None:
        """Let through image layers, and reports in this account's buckets, which `payments reconcile` reads by URL.

        All S3 traffic in the region uses the endpoint rather than the NAT gateway, so nothing else gets through.
        """
        config = self._config
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
        _tag_name(endpoint, config.names.name("vpc-endpoint-s3"))

    def _add_flow_logs(self, key: kms.IKey) -> None:
        config, names = self._config, self._config.names
        log_group = EncryptedLogGroup(self, "FlowLogs", name=names.flow_logs, target=config, key=key)
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
                allow(
                    "WriteFlowLogs",
                    ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    [log_group.log_group_arn],
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
        _tag_name(flow_log, names.name("flow-log"))

    def _acknowledge_findings(self) -> None:
        for subnet in self.vpc.public_subnets:
            acknowledge(
                subnet,
                "NIST.800.53.R5-VPCNoUnrestrictedRouteToIGW",
                "PCI.DSS.321-VPCNoUnrestrictedRouteToIGW",
                reason="The load balancer and the NAT gateway in this subnet must reach the internet gateway; nothing "
                "in it is assigned a public address automatically.",
            )
        acknowledge(
            self.vpc,
            "NIST.800.53.R5-VPCDefaultSecurityGroupClosed",
            "PCI.DSS.321-VPCDefaultSecurityGroupClosed",
            reason="Custom::RestrictDefaultSecurityGroup in the same stack removes all rules from the group, "
            "which the rule cannot see.",
        )


def _tag_name(scope: IConstruct, name: str) -> None:
    Tags.of(scope).add("Name", name)


def _subnet_resource(subnet: ec2.ISubnet) -> ec2.CfnSubnet:
    resource = subnet.node.default_child
    assert isinstance(resource, ec2.CfnSubnet)  # noqa: S101 - the L1 resource of a subnet
    return resource
