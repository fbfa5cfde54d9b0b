"""The network has three zones, one NAT gateway, and no connection besides the designed ones."""

import ipaddress
from collections.abc import Iterator

import pytest

from tests.stages.model import Resource, Templates

ZONES = ["use1-az1", "use1-az2", "use1-az4"]
KINDS = ("public", "private", "isolated")


def subnets(templates: Templates, kind: str) -> list[Resource]:
    return [each for each in templates.all("AWS::EC2::Subnet") if _name(each).startswith(f"subnet-{kind}-")]


def _name(resource: Resource) -> str:
    return next(str(tag["Value"]) for tag in resource["Tags"] if tag["Key"] == "Name")


def route_tables(templates: Templates, subnet: Resource) -> set[object]:
    return {
        templates.resolve(link.stack, link["RouteTableId"])
        for link in templates.all("AWS::EC2::SubnetRouteTableAssociation")
        if templates.resolve(link.stack, link["SubnetId"]) == f"{subnet.stack}/{subnet.logical_id}"
    }


def routes(templates: Templates, subnet: Resource) -> list[Resource]:
    tables = route_tables(templates, subnet)
    return [
        route
        for route in templates.all("AWS::EC2::Route")
        if templates.resolve(route.stack, route["RouteTableId"]) in tables
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_subnets_cover_three_zones_by_id(each: Templates, kind: str) -> None:
    assert [subnet["AvailabilityZoneId"] for subnet in subnets(each, kind)] == ZONES
    assert len(each.all("AWS::EC2::Subnet")) == len(KINDS) * len(ZONES)
    assert not any("AvailabilityZone" in subnet.properties for subnet in each.all("AWS::EC2::Subnet"))


def test_subnets_do_not_overlap(dev: Templates) -> None:
    blocks = [ipaddress.ip_network(subnet["CidrBlock"]) for subnet in dev.all("AWS::EC2::Subnet")]
    assert not any(one.overlaps(other) for one in blocks for other in blocks if one is not other)


def test_the_only_nat_gateway_is_in_a_public_subnet(each: Templates) -> None:
    gateway = each.one("AWS::EC2::NatGateway")
    homes = {f"{subnet.stack}/{subnet.logical_id}" for subnet in subnets(each, "public")}
    assert each.resolve(gateway.stack, gateway["SubnetId"]) in homes
    assert len(each.all("AWS::EC2::EIP")) == 1


def test_routes_separate_public_private_and_isolated(each: Templates) -> None:
    def targets(kind: str) -> set[str]:
        return {
            name
            for subnet in subnets(each, kind)
            for route in routes(each, subnet)
            for name in ("GatewayId", "NatGatewayId")
            if name in route.properties
        }

    assert targets("public") == {"GatewayId"}
    assert targets("private") == {"NatGatewayId"}
    assert targets("isolated") == set()


def test_s3_is_all_that_every_subnet_has_a_route_to(each: Templates) -> None:
    """A gateway endpoint adds its route to the tables that it names; it has no route of its own in the template."""
    endpoint = each.one("AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"
    named = {each.resolve(endpoint.stack, table) for table in endpoint["RouteTableIds"]}
    assert named == {table for kind in KINDS for subnet in subnets(each, kind) for table in route_tables(each, subnet)}


def test_nothing_leaves_the_database(each: Templates) -> None:
    database = each.one("AWS::RDS::DBCluster")["DBClusterIdentifier"].replace(
        "aurora-cluster", "security-group-database"
    )
    assert [rule for rule in connections(each) if f" {database} ->" in f" {rule[1]}"] == []
    assert [rule for rule in connections(each) if rule[1].endswith(f" -> {database}")] != []


def test_nothing_is_assigned_a_public_address(each: Templates) -> None:
    assert not any(subnet.properties.get("MapPublicIpOnLaunch") for subnet in each.all("AWS::EC2::Subnet"))
    for service in each.all("AWS::ECS::Service"):
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    for instance in each.all("AWS::RDS::DBInstance"):
        assert instance["PubliclyAccessible"] is False


def test_flow_logs_record_all_traffic_into_an_encrypted_group(each: Templates) -> None:
    flow_log = each.one("AWS::EC2::FlowLog")
    assert flow_log["TrafficType"] == "ALL"
    assert flow_log["ResourceType"] == "VPC"
    assert "KmsKeyId" in each.one("AWS::Logs::LogGroup", LogGroupName=flow_log["LogGroupName"]).properties


def test_the_s3_endpoint_allows_layers_and_own_buckets_only(dev: Templates) -> None:
    endpoint = dev.one("AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"
    layers, reports = endpoint["PolicyDocument"]["Statement"]
    assert layers["Action"] == reports["Action"] == "s3:GetObject"
    assert layers["Resource"] == "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*"
    assert reports["Condition"] == {"StringEquals": {"aws:ResourceAccount": "111111111111"}}


def connections(templates: Templates) -> Iterator[tuple[str, str, str]]:
    """Every rule of every security group as (direction, 'source -> target', ports)."""
    groups = {
        f"{each.stack}/{each.logical_id}.GroupId": each["GroupName"]
        for each in templates.all("AWS::EC2::SecurityGroup")
    }

    def name(stack: str, value: object) -> str:
        resolved = templates.resolve(stack, value)
        return "internet" if resolved == "0.0.0.0/0" else groups.get(resolved, str(resolved))

    rules = [
        (direction, group.stack, {"Ref": group.logical_id}, rule, groups[f"{group.stack}/{group.logical_id}.GroupId"])
        for group in templates.all("AWS::EC2::SecurityGroup")
        for direction in ("Ingress", "Egress")
        for rule in group.properties.get(f"SecurityGroup{direction}", [])
    ] + [
        (direction, each.stack, each["GroupId"], each.properties, name(each.stack, each["GroupId"]))
        for direction in ("Ingress", "Egress")
        for each in templates.all(f"AWS::EC2::SecurityGroup{direction}")
    ]
    for direction, stack, _, rule, own in rules:
        peer_property = "SourceSecurityGroupId" if direction == "Ingress" else "DestinationSecurityGroupId"
        peer = name(stack, rule.get(peer_property, rule.get("CidrIp", rule.get("CidrIpv6"))))
        if peer == "255.255.255.255/32":
            continue  # placeholder that matches nothing: without any rule, EC2 would allow everything
        arrow = f"{peer} -> {own}" if direction == "Ingress" else f"{own} -> {peer}"
        yield direction, arrow, f"{rule['IpProtocol']} {rule.get('FromPort')}-{rule.get('ToPort')}"


def designed(suffix: str) -> list[tuple[str, str, str]]:
    alb, api, worker, database = (f"security-group-{name}-{suffix}" for name in ("alb", "api", "worker", "database"))
    return [
        ("Ingress", f"internet -> {alb}", "tcp 443-443"),
        ("Ingress", f"internet -> {alb}", "tcp 80-80"),
        ("Egress", f"{alb} -> {api}", "tcp 8443-8443"),
        ("Ingress", f"{alb} -> {api}", "tcp 8443-8443"),
        ("Egress", f"{api} -> {database}", "tcp 5432-5432"),
        ("Ingress", f"{api} -> {database}", "tcp 5432-5432"),
        ("Egress", f"{worker} -> {database}", "tcp 5432-5432"),
        ("Ingress", f"{worker} -> {database}", "tcp 5432-5432"),
        ("Egress", f"{api} -> internet", "tcp 443-443"),
        ("Egress", f"{worker} -> internet", "tcp 443-443"),
    ]


def test_connections_are_exactly_the_designed_ones(environments: dict[str, Templates]) -> None:
    for name, suffix in (("Dev", "dev"), ("Prod", "prod"), ("Longest", "prod-alice12")):
        assert sorted(connections(environments[name])) == sorted(designed(suffix))


def test_the_test_listener_is_reachable_from_the_vpc_only(canary: Templates) -> None:
    network = canary.one("AWS::EC2::VPC")["CidrBlock"]
    test_traffic = ("Ingress", f"{network} -> security-group-alb-canary-alice", "tcp 9443-9443")
    assert ipaddress.ip_network(network).is_private
    assert sorted(connections(canary)) == sorted([*designed("canary-alice"), test_traffic])


def test_every_security_group_denies_egress_by_default(each: Templates) -> None:
    """EC2 adds "allow all" to a group without any egress rule."""
    for group in each.all("AWS::EC2::SecurityGroup"):
        assert group.properties.get("SecurityGroupEgress"), f"{group} would allow all egress"


def test_resources_are_in_their_own_groups_and_subnets(each: Templates) -> None:
    def groups_of(resource: Resource, ids: object) -> set[str]:
        resolved = each.resolve(resource.stack, ids)
        return {
            str(group["GroupName"]).removeprefix("security-group-").split("-")[0]
            for group in each.all("AWS::EC2::SecurityGroup")
            if f"{group.stack}/{group.logical_id}.GroupId" in resolved
        }

    def kinds_of(resource: Resource, ids: object) -> set[str]:
        resolved = each.resolve(resource.stack, ids)
        return {
            kind
            for kind in KINDS
            for subnet in subnets(each, kind)
            if f"{subnet.stack}/{subnet.logical_id}" in resolved
        }

    balancer = each.one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert groups_of(balancer, balancer["SecurityGroups"]) == {"alb"}
    assert kinds_of(balancer, balancer["Subnets"]) == {"public"}
    for service in each.all("AWS::ECS::Service"):
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert groups_of(service, network["SecurityGroups"]) == {service["ServiceName"].split("-")[2]}
        assert kinds_of(service, network["Subnets"]) == {"private"}
    cluster, home = each.one("AWS::RDS::DBCluster"), each.one("AWS::RDS::DBSubnetGroup")
    assert groups_of(cluster, cluster["VpcSecurityGroupIds"]) == {"database"}
    assert kinds_of(home, home["SubnetIds"]) == {"isolated"}


def test_the_default_security_group_is_restricted(each: Templates) -> None:
    restricted = each.one("Custom::RestrictDefaultSecurityGroup")
    vpc = each.one("AWS::EC2::VPC")
    assert each.resolve(restricted.stack, restricted["GroupId"]) == f"{vpc.stack}/{vpc.logical_id}.DefaultSecurityGroup"
