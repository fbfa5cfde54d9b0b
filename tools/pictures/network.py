"""An environment's network and who may talk to whom, from its synthesized templates."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.pictures.rules import INTERNET, Rules
from tools.pictures.svg import Box, Canvas, Point, Style
from tools.pictures.templates import Resource, Templates

_CLIENTS = Box(x=226, y=58, width=204, height=44)
_OUTSIDE = Box(x=448, y=58, width=310, height=44)
_S3 = Box(x=776, y=58, width=160, height=44)
_VPC = Box(x=24, y=140, width=912, height=514)
_ENDPOINT = Box(x=750, y=150, width=172, height=36)
#: Top and height of the band of each kind of subnet, and the way out that its routes give it.
_TIERS: Mapping[str, tuple[float, float, str]] = {
    "GatewayId": (196, 106, "public: internet gateway"),
    "NatGatewayId": (330, 154, "private: through NAT"),
    "": (512, 128, "isolated: no way out"),
}
_NAT = Box(x=530, y=222, width=162, height=54)
#: Where what each security group protects stands.
_GROUPS: Mapping[str, Box] = {
    "alb": Box(x=226, y=222, width=204, height=54),
    "api": Box(x=226, y=352, width=204, height=110),
    "worker": Box(x=500, y=352, width=408, height=110),
    "database": Box(x=226, y=530, width=682, height=98),
}
#: The ways of the arrows from one to the other: one for each port.
_WAYS: Mapping[tuple[str, str], Sequence[Sequence[Point]]] = {
    (INTERNET, "alb"): (((282, 102), (282, 222)), ((356, 102), (356, 222))),
    ("alb", "api"): (((328, 276), (328, 352)),),
    ("api", "database"): (((328, 462), (328, 530)),),
    ("worker", "database"): (((611, 462), (611, 530)),),
    ("api", INTERNET): (((430, 380), (464, 380), (464, 249), (530, 249)),),
    ("worker", INTERNET): (((611, 352), (611, 276)),),
}


def network(assembly: Path) -> str:
    """Return the network of the environment whose cloud assembly is in ``assembly``.

    Raises:
        ValueError: Something that the templates say has no place in the picture yet.
    """
    templates = Templates(assembly)
    canvas = Canvas(
        "Network: who may talk to whom",
        "Clients reach the load balancer in the public subnets, it reaches the api tasks in the private subnets, api "
        "and worker tasks reach the database in the isolated subnets, and the internet through a NAT gateway.",
        width=960,
        height=698,
    )
    canvas.box(_VPC, Style.FRAME)
    canvas.text(_VPC.x + 14, _VPC.y + 32, f"VPC {templates.one('EC2::VPC').properties['CidrBlock']}", bold=True)
    tiers = _tiers(templates)
    _draw_tiers(canvas, templates, tiers)
    _draw_outside(canvas, templates)
    _draw_rules(canvas, templates)
    _draw_load_balancer(canvas, templates, tiers)
    _draw_tasks(canvas, templates, tiers)
    _draw_database(canvas, templates, tiers)
    canvas.text(
        24,
        680,
        "A port at an arrow is allowed by the security groups of both ends. Nothing else is allowed.",
        size=12,
        style="muted",
    )
    return canvas.render()


def _tiers(templates: Templates) -> dict[str, str]:
    """Return the kind of each subnet, which is where its default route leads."""
    exits = {
        route.properties["RouteTableId"]: next(key for key in route.properties if key in _TIERS)
        for route in templates.all("EC2::Route")
    }
    return {
        link.properties["SubnetId"]: exits.get(link.properties["RouteTableId"], "")
        for link in templates.all("EC2::SubnetRouteTableAssociation")
    }


def _draw_tiers(canvas: Canvas, templates: Templates, tiers: Mapping[str, str]) -> None:
    for tier, (y, height, name) in _TIERS.items():
        canvas.box(Box(x=38, y=y, width=884, height=height), Style.BAND)
        canvas.text(46, y + 26, name, bold=True, size=12)
        subnets = [subnet for subnet in templates.all("EC2::Subnet") if tiers[subnet.id] == tier]
        for number, subnet in enumerate(subnets):
            zone, block = subnet.properties["AvailabilityZoneId"], subnet.properties["CidrBlock"]
            canvas.text(46, y + 48 + 19 * number, f"{zone} {block}", size=12, style="muted", mono=True)


def _draw_outside(canvas: Canvas, templates: Templates) -> None:
    canvas.box(_CLIENTS, Style.PLAIN, ("Clients", "any address"))
    canvas.box(_S3, Style.PLAIN, ("Amazon S3",))
    nat = templates.one("EC2::NatGateway")
    zone = {subnet.id: subnet.properties["AvailabilityZoneId"] for subnet in templates.all("EC2::Subnet")}
    canvas.box(_NAT, Style.AMBER, ("NAT gateway", zone[nat.properties["SubnetId"]]))
    canvas.arrow((611, _NAT.y), (611, _OUTSIDE.bottom))
    endpoint = templates.one("EC2::VPCEndpoint").properties
    service, kind = endpoint["ServiceName"].rpartition(".")[2], endpoint["VpcEndpointType"]
    canvas.box(_ENDPOINT, Style.AMBER, (f"{service.upper()} {kind.lower()} endpoint",))
    canvas.arrow((_ENDPOINT.middle[0], _ENDPOINT.y), (_ENDPOINT.middle[0], _S3.bottom))


def _draw_rules(canvas: Canvas, templates: Templates) -> None:
    rules = Rules(templates)
    if unknown := rules.groups - _GROUPS.keys():
        raise ValueError(f"Give the security groups {sorted(unknown)} a place in tools/pictures/network.py.")
    canvas.box(_OUTSIDE, Style.PLAIN, ("Internet", rules.outside))
    redirected = {
        listener.properties["Port"]
        for listener in templates.all("ElasticLoadBalancingV2::Listener")
        if listener.properties["DefaultActions"][0]["Type"] == "redirect"
    }
    for pair, ports in rules.allowed().items():
        ways = _WAYS.get(pair, ())
        if len(ports) > len(ways):
            raise ValueError(f"Draw the arrows from {pair[0]} to {pair[1]} ({ports}) in tools/pictures/network.py.")
        for port, way in zip(ports, ways, strict=False):
            canvas.arrow(*way)
            (x, y), (_, end) = max(itertools.pairwise(way), key=lambda each: abs(each[0][1] - each[1][1]))
            middle = 124 if pair[0] == INTERNET else (y + end) / 2 + 4
            canvas.text(x + 9, middle, f"{port} (redirect)" if port in redirected else f"{port}", bold=True)


def _draw_load_balancer(canvas: Canvas, templates: Templates, tiers: Mapping[str, str]) -> None:
    (balancer,) = templates.all("ElasticLoadBalancingV2::LoadBalancer")
    _require_tier(balancer, balancer.properties["Subnets"], tiers, "GatewayId")
    guarded = [each.properties["ResourceArn"] for each in templates.all("WAFv2::WebACLAssociation")]
    lines = ["Load balancer"] + ["behind a firewall (WAF)"] * (balancer.id in guarded)
    canvas.box(_GROUPS["alb"], Style.BLUE, lines)


def _draw_tasks(canvas: Canvas, templates: Templates, tiers: Mapping[str, str]) -> None:
    definitions = {definition.id: definition for definition in templates.all("ECS::TaskDefinition")}
    scaled = {
        target.properties["ResourceId"].split("/", 2)[2]: target
        for target in templates.all("ApplicationAutoScaling::ScalableTarget")
    }
    for service in templates.all("ECS::Service"):
        network_of = service.properties["NetworkConfiguration"]["AwsvpcConfiguration"]
        _require_tier(service, network_of["Subnets"], tiers, "NatGatewayId")
        *first, main = _containers(definitions.pop(service.properties["TaskDefinition"]))
        (target,) = [target for name, target in scaled.items() if name.endswith(service.id)]
        group = _GROUPS[main]
        frame = group if main == "api" else Box(x=group.x + 14, y=group.y + 28, width=186, height=68)
        count = f"{target.properties['MinCapacity']} to {target.properties['MaxCapacity']} tasks"
        lines = (f"{main} service", count, *(f"each runs {name} first" for name in first))
        if frame is not group:
            _draw_group(canvas, group)
        canvas.box(frame, Style.BLUE, lines)
    for number, definition in enumerate(definitions.values()):
        frame = Box(x=_GROUPS["worker"].x + 214 + 186 * number, y=_GROUPS["worker"].y + 28, width=180, height=68)
        canvas.box(
            frame, Style.BLUE, (f"{_containers(definition)[-1]} tasks", "one for each command", "of an operator")
        )


def _draw_group(canvas: Canvas, frame: Box) -> None:
    canvas.box(frame, Style.FRAME, dashed=True)
    canvas.text(frame.right - 14, frame.y + 19, "one security group", size=12, anchor="end", style="muted")


def _containers(definition: Resource) -> list[str]:
    return [container["Name"] for container in definition.properties["ContainerDefinitions"]]


def _draw_database(canvas: Canvas, templates: Templates, tiers: Mapping[str, str]) -> None:
    subnets = templates.one("RDS::DBSubnetGroup")
    _require_tier(subnets, subnets.properties["SubnetIds"], tiers, "")
    zones = {subnet.id: subnet.properties["AvailabilityZoneId"] for subnet in templates.all("EC2::Subnet")}
    group = _GROUPS["database"]
    instances = sorted(templates.all("RDS::DBInstance"), key=lambda instance: int(instance.properties["PromotionTier"]))
    width = (group.width - 14) / len(instances) - 14
    _draw_group(canvas, group)
    for number, instance in enumerate(instances):
        role = "writer" if number == 0 else "reader"
        frame = Box(x=group.x + 14 + number * (width + 14), y=group.y + 30, width=width, height=54)
        canvas.box(frame, Style.GREEN, (f"Aurora {role}", zones[instance.properties["AvailabilityZone"]]))


def _require_tier(resource: Resource, subnets: Sequence[str], tiers: Mapping[str, str], tier: str) -> None:
    if {tiers[subnet] for subnet in subnets} != {tier}:
        raise ValueError(f"{resource.id} has moved to other subnets: move it in tools/pictures/network.py too.")
