"""Names promise to be predictable, to end in the suffix, and to be found again by tag."""

import pytest

from stages.naming import MAX_SUFFIX, Names

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
