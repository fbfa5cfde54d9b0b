"""Names promise to be predictable, to end in the suffix, and to be found again by tag."""

import copy

import pytest

from kit.naming import MAX_SUFFIX, Names
from tests.stages.conftest import ENVIRONMENTS
from tests.stages.model import Templates
from tests.stages.names import misnamed

NAMES = Names(suffix="dev", account="111111111111", region="us-east-1")


def test_names_are_type_and_suffix() -> None:
    assert NAMES.name("vpc") == "vpc-dev"
    assert NAMES.stack("network") == "payment-network-dev"
    assert NAMES.unique("alb-logs") == "alb-logs-dev-111111111111-us-east-1"


@pytest.mark.parametrize("suffix", ["d", "dev", "dev-alice", "prod-alice12"])
def test_a_well_formed_suffix_is_taken(suffix: str) -> None:
    assert Names(suffix=suffix, account="1", region="r").name("alb") == f"alb-{suffix}"


@pytest.mark.parametrize("suffix", ["", "Dev", "1dev", "dev_1", "-dev", "dev-", "dev--1", "d" * (MAX_SUFFIX + 1)])
def test_a_suffix_that_some_service_would_refuse_is_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="environment suffix"):
        Names(suffix=suffix, account="1", region="r")


def test_names_that_aws_dictates_keep_their_form() -> None:
    assert NAMES.database_logs == "/aws/rds/cluster/aurora-cluster-dev/postgresql"
    assert NAMES.container_insights_logs == "/aws/ecs/containerinsights/ecs-cluster-dev/performance"
    assert NAMES.waf_logs == "aws-waf-logs-dev"
    assert NAMES.function_logs("empty-bucket") == "/aws/lambda/function-empty-bucket-dev"
    assert NAMES.smoke_reader_role_arn == "arn:aws:iam::111111111111:role/role-smoke-reader-dev"


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_every_name_and_name_tag_says_its_type_and_its_environment(
    environments: dict[str, Templates], environment: str
) -> None:
    assert misnamed(environments[environment], str(ENVIRONMENTS[environment]["environment_suffix"])) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::EC2::NatGateway", "subnet-public-use1-az1-dev"),
        ("AWS::EC2::InternetGateway", "vpc-dev"),
        ("AWS::EC2::RouteTable", "route-table-public-use1-az2-dev"),
        ("AWS::EC2::EIP", "eip-nat"),
    ],
)
def test_a_name_of_another_type_or_environment_or_resource_is_noticed(dev: Templates, kind: str, name: str) -> None:
    """The last kind of mistake is a name that another resource of the type has already."""
    by_stack = copy.deepcopy(dict(dev.by_stack))
    planted = dev.all(kind)[0]
    tags = by_stack[planted.stack]["Resources"][planted.logical_id]["Properties"]["Tags"]
    next(tag for tag in tags if tag["Key"] == "Name")["Value"] = name
    assert len(misnamed(Templates(by_stack=by_stack), "dev")) == 1
