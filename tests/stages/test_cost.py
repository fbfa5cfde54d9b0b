"""The cost estimate counts what the templates contain, and adds up."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

import pytest

from tests.stages.model import PROJECT, Templates

CENT = Decimal("0.01")
Row = tuple[Decimal, Decimal, Decimal, Decimal, Decimal]


@pytest.fixture(scope="module")
def rows() -> Mapping[str, Row]:
    """Unit price, quantity in dev and in prod, dollars in dev and in prod, by item."""
    lines = re.findall(
        r"^\| ([A-Z][^|]+?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", _text(), re.M
    )
    return {item.partition(" (")[0]: tuple(map(Decimal, numbers)) for item, *numbers in lines}  # type: ignore[misc]  # the table has exactly these columns


def _text() -> str:
    return (PROJECT / "docs" / "cost.md").read_text()


def alarm_metrics(templates: Templates) -> int:
    return sum(
        sum("MetricStat" in metric for metric in alarm["Metrics"]) for alarm in templates.all("AWS::CloudWatch::Alarm")
    )


def fargate(templates: Templates, size: str, unit: int) -> Decimal:
    """Tasks at rest, in vCPU or GB."""
    sizes = {
        str(task["Family"]).split("-")[2]: Decimal(task[size]) / unit
        for task in templates.all("AWS::ECS::TaskDefinition")
    }
    tasks = {
        "api": templates.one("AWS::ApplicationAutoScaling::ScalableTarget", MaxCapacity=10)["MinCapacity"],
        "worker": templates.one("AWS::ApplicationAutoScaling::ScalableTarget", MaxCapacity=2)["MinCapacity"],
    }
    return sum((sizes[kind] * tasks[kind] for kind in tasks), Decimal(0))


def quantities(templates: Templates) -> dict[str, Decimal]:
    scaling = templates.one("AWS::RDS::DBCluster")["ServerlessV2ScalingConfiguration"]
    balancers = templates.all("AWS::ElasticLoadBalancingV2::LoadBalancer")
    return {
        "Aurora capacity, ACU": Decimal(str(scaling["MinCapacity"])) * len(templates.all("AWS::RDS::DBInstance")),
        "Fargate, vCPU": fargate(templates, "Cpu", 1024),
        "Fargate, GB of memory": fargate(templates, "Memory", 1024),
        "NAT gateway": Decimal(len(templates.all("AWS::EC2::NatGateway"))),
        "Application load balancer": Decimal(len(balancers)),
        "Public IPv4 address": Decimal(
            len(templates.all("AWS::EC2::EIP")) + sum(len(balancer["Subnets"]) for balancer in balancers)
        ),
        "Web ACL": Decimal(len(templates.all("AWS::WAFv2::WebACL"))),
        "Web ACL rule": Decimal(sum(len(acl["Rules"]) for acl in templates.all("AWS::WAFv2::WebACL"))),
        "Dashboard": Decimal(len(templates.all("AWS::CloudWatch::Dashboard"))),
        "Alarm, metric in it": Decimal(alarm_metrics(templates)),
        "Secret": Decimal(len(templates.all("AWS::SecretsManager::Secret"))),
        "Key": Decimal(len(templates.all("AWS::KMS::Key"))),
    }


#: Not counted in templates: what the service and Container Insights report at run time.
ESTIMATED = {"Container Insights, metric", "Business metric"}


def test_quantities_match_the_templates(rows: Mapping[str, Row], dev: Templates, prod: Templates) -> None:
    in_dev, in_prod = quantities(dev), quantities(prod)
    assert set(rows) == set(in_dev) | ESTIMATED
    assert {item: rows[item][1] for item in in_dev} == in_dev
    assert {item: rows[item][2] for item in in_prod} == in_prod


def test_every_row_is_price_times_quantity(rows: Mapping[str, Row]) -> None:
    for item, (price, dev, prod, dev_dollars, prod_dollars) in rows.items():
        assert (price * dev).quantize(CENT, ROUND_HALF_UP) == dev_dollars, item
        assert (price * prod).quantize(CENT, ROUND_HALF_UP) == prod_dollars, item


def test_the_totals_add_up(rows: Mapping[str, Row]) -> None:
    (totals,) = re.findall(r"^\| \*\*total\*\* \| \| \| \| \*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\* \|$", _text(), re.M)
    assert [sum(row[column] for row in rows.values()) for column in (3, 4)] == [Decimal(each) for each in totals]
