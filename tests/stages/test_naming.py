"""Names are predictable, end in the suffix, and can be found by tag."""

import copy

import pytest

from kit.naming import MAX_SUFFIX_LENGTH, Names
from stages.config.names import EnvironmentNames
from tests.stages.conftest import ENVIRONMENTS
from tests.stages.model import Templates
from tests.stages.names import misnamed

TOO_LONG = "d" * (MAX_SUFFIX_LENGTH + 1)
NAMES = EnvironmentNames(suffix="dev", account="111111111111", region="us-east-1")


def test_names_are_type_and_suffix() -> None:
    assert NAMES.name("vpc") == "vpc-dev"
    assert NAMES.stack("network") == "payment-network-dev"
    assert NAMES.globally_unique("alb-logs") == "alb-logs-dev-111111111111-us-east-1"


@pytest.mark.parametrize("suffix", ["d", "dev", "dev-alice", "prod-alice12"])
def test_a_valid_suffix_is_accepted(suffix: str) -> None:
    assert Names(suffix=suffix, account="1", region="r").name("alb") == f"alb-{suffix}"


@pytest.mark.parametrize("suffix", ["", "Dev", "1dev", "dev_1", "-dev", "dev-", "dev--1", TOO_LONG])
def test_an_invalid_suffix_is_rejected(suffix: str) -> None:
    with pytest.raises(ValueError, match="environment suffix"):
        Names(suffix=suffix, account="1", region="r")


def test_names_that_aws_dictates_keep_their_form() -> None:
    assert NAMES.database_logs == "/aws/rds/cluster/aurora-cluster-dev/postgresql"
    assert NAMES.container_insights_logs == "/aws/ecs/containerinsights/ecs-cluster-dev/performance"
    assert NAMES.waf_logs == "aws-waf-logs-dev"
    assert NAMES.function_logs("empty-bucket") == "/aws/lambda/function-empty-bucket-dev"
    assert NAMES.smoke_reader_role_arn == "arn:aws:iam::111111111111:role/role-smoke-reader-dev"


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_every_name_contains_type_and_suffix(environments: dict[str, Templates], environment: str) -> None:
    assert misnamed(environments[environment], str(ENVIRONMENTS[environment]["environment_suffix"])) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::EC2::NatGateway", "subnet-public-use1-az1-dev"),
        ("AWS::EC2::InternetGateway", "vpc-dev"),
        ("AWS::EC2::RouteTable", "route-table-public-use1-az2-dev"),
        ("AWS::EC2::EIP", "eip-nat"),
    ],
    ids=["subnet", "vpc", "duplicate", "suffix"],
)
def test_a_misleading_name_is_detected(dev: Templates, kind: str, name: str) -> None:
    """The last case is a name that another resource of the type already has."""
    by_stack = copy.deepcopy(dict(dev.by_stack))
    planted = dev.all(kind)[0]
    tags = by_stack[planted.stack]["Resources"][planted.logical_id]["Properties"]["Tags"]
    next(tag for tag in tags if tag["Key"] == "Name")["Value"] = name
    assert len(misnamed(Templates(by_stack=by_stack), "dev")) == 1
