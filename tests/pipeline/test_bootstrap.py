"""CloudFormation's policies are sufficient for every template, restricted to our own names, and minimal."""

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # cfn-lint ships no types

from pipeline.bootstrap import policies
from pipeline.bootstrap.required_actions import (
    ADDITIONAL_ACTIONS,
    RESOURCE_TYPES,
    UNUSED_ACTIONS,
    UNUSED_SERVICES,
    required_actions,
)
from tests.pipeline.model import PROJECT, Synthesized, Template

COMMITTED = sorted(policies.FOLDER.glob("execution-policy-*.json"))
STATEMENTS: list[Mapping[str, Any]] = [
    statement for path in COMMITTED for statement in json.loads(path.read_text())["Statement"]
]


@pytest.fixture(scope="module")
def templates(widest: Synthesized) -> dict[str, Template]:
    return widest.templates


def resources(templates: Mapping[str, Template]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for template, content in templates.items():
        for name, resource in content.body["Resources"].items():
            yield f"{template}/{name}", resource["Type"], resource.get("Properties", {})


def allowed(action: str, arn: str = "*") -> bool:
    """Whether some statement allows an action on a resource, as IAM compares them, ignoring conditions."""
    return any(
        action.lower() in (one.lower() for one in statement["Action"])
        and any(fnmatch.fnmatchcase(arn, pattern) for pattern in statement["Resource"])
        for statement in STATEMENTS
    )


def is_listed(action: str) -> bool:
    return any(action.lower() in (one.lower() for one in statement["Action"]) for statement in STATEMENTS)


def needed_by_schemas(templates: Mapping[str, Template]) -> dict[str, str]:
    """Action to a resource that requires it, read from the schemas again: the tool does not check itself."""
    needed: dict[str, str] = {}
    for where, kind, _ in resources(templates):
        if kind.startswith(("Custom::", "AWS::CDK::")):
            continue
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        handlers = schema.get("handlers", {})
        named = {one for operation in ("create", "read", "update", "delete")
                 for one in handlers.get(operation, {}).get("permissions", ())}  # fmt: skip
        named |= set(schema.get("tagging", {}).get("permissions", ()))
        used = {one for one in named if one not in UNUSED_ACTIONS and one.split(":")[0] not in UNUSED_SERVICES}
        needed |= dict.fromkeys(used, where)
    return needed


def test_every_required_action_is_in_some_policy(templates: dict[str, Template]) -> None:
    missing = {action: where for action, where in needed_by_schemas(templates).items() if not is_listed(action)}
    assert missing == {}


def test_every_allowed_action_is_required_by_some_template(templates: dict[str, Template]) -> None:
    needed = {action.lower() for action in needed_by_schemas(templates)}
    needed |= {action.lower() for actions in ADDITIONAL_ACTIONS.values() for action in actions}
    assert {
        action for statement in STATEMENTS for action in statement["Action"] if action.lower() not in needed
    } == set()


def test_every_resource_type_is_known(templates: dict[str, Template]) -> None:
    found = {kind for _, kind, _ in resources(templates) if not kind.startswith(("Custom::", "AWS::CDK::"))}
    assert found - set(RESOURCE_TYPES) == set(), "add them to RESOURCE_TYPES and run `python -m pipeline.bootstrap`"


def test_types_without_handlers_have_additional_actions(templates: dict[str, Template]) -> None:
    for _, kind, _ in resources(templates):
        if not kind.startswith("AWS::CDK::"):
            assert required_actions(kind), kind
    assert all(is_listed(action) for actions in ADDITIONAL_ACTIONS.values() for action in actions)


def test_the_committed_policies_are_up_to_date(tmp_path: Path) -> None:
    written = policies.write_policies(tmp_path)
    assert [path.name for path in written] == [path.name for path in COMMITTED]
    for path, committed in zip(written, COMMITTED, strict=True):
        assert path.read_text() == committed.read_text(), "run `python -m pipeline.bootstrap`"


#: Resource type to the property that holds its name, an action that changes it, and its ARN.
NAMED = {
    "AWS::CloudWatch::Alarm": ("AlarmName", "cloudwatch:PutMetricAlarm", "arn:aws:cloudwatch:r:1:alarm:{}"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", "cloudwatch:PutDashboard", "arn:aws:cloudwatch::1:dashboard/{}"),
    "AWS::CodeBuild::Project": ("Name", "codebuild:UpdateProject", "arn:aws:codebuild:r:1:project/{}"),
    "AWS::CodeBuild::ReportGroup": ("Name", "codebuild:UpdateReportGroup", "arn:aws:codebuild:r:1:report-group/{}"),
    "AWS::CodePipeline::Pipeline": ("Name", "codepipeline:UpdatePipeline", "arn:aws:codepipeline:r:1:{}"),
    "AWS::ECS::Cluster": ("ClusterName", "ecs:DeleteCluster", "arn:aws:ecs:r:1:cluster/{}"),
    "AWS::Events::Rule": ("Name", "events:PutRule", "arn:aws:events:r:1:rule/{}"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam:CreatePolicyVersion", "arn:aws:iam::1:policy/{}"),
    "AWS::IAM::Role": ("RoleName", "iam:CreateRole", "arn:aws:iam::1:role/{}"),
    "AWS::Lambda::Function": ("FunctionName", "lambda:UpdateFunctionCode", "arn:aws:lambda:r:1:function:{}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:CreateLogGroup", "arn:aws:logs:r:1:log-group:{}"),
    "AWS::RDS::DBCluster": ("DBClusterIdentifier", "rds:DeleteDBCluster", "arn:aws:rds:r:1:cluster:{}"),
    "AWS::RDS::DBInstance": ("DBInstanceIdentifier", "rds:DeleteDBInstance", "arn:aws:rds:r:1:db:{}"),
    "AWS::RDS::DBClusterParameterGroup": (
        "DBClusterParameterGroupName",
        "rds:ModifyDBClusterParameterGroup",
        "arn:aws:rds:r:1:cluster-pg:{}",
    ),
    "AWS::RDS::DBSubnetGroup": ("DBSubnetGroupName", "rds:ModifyDBSubnetGroup", "arn:aws:rds:r:1:subgrp:{}"),
    "AWS::S3::Bucket": ("BucketName", "s3:DeleteBucket", "arn:aws:s3:::{}"),
    "AWS::SNS::Topic": ("TopicName", "sns:SetTopicAttributes", "arn:aws:sns:r:1:{}"),
    "AWS::SecretsManager::Secret": (
        "Name",
        "secretsmanager:DeleteSecret",
        "arn:aws:secretsmanager:r:1:secret:{}-AbCdEf",
    ),
    "AWS::WAFv2::WebACL": ("Name", "wafv2:UpdateWebACL", "arn:aws:wafv2:r:1:regional/webacl/{}/0a1b"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "Name",
        "elasticloadbalancing:DeleteLoadBalancer",
        "arn:aws:elasticloadbalancing:r:1:loadbalancer/app/{}/0a1b",
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "Name",
        "elasticloadbalancing:ModifyTargetGroup",
        "arn:aws:elasticloadbalancing:r:1:targetgroup/{}/0a1b",
    ),
}


def test_own_resources_may_be_changed_by_name(templates: dict[str, Template]) -> None:
    met = set()
    for where, kind, properties in resources(templates):
        if kind in NAMED:
            key, action, arn = NAMED[kind]
            assert allowed(action, arn.format(properties[key])), (where, action, properties[key])
            met.add(kind)
    assert met == NAMED.keys()


@pytest.mark.parametrize("kind", NAMED)
def test_foreign_resources_may_not_be_changed(kind: str) -> None:
    _, action, arn = NAMED[kind]
    assert not allowed(action, arn.format("somebody-elses"))


def test_every_policy_has_headroom() -> None:
    for path in COMMITTED:
        size = len(re.sub(r"\s", "", path.read_text()))
        assert size <= policies.POLICY_LIMIT - policies.HEADROOM, path


def test_the_readme_attaches_every_policy() -> None:
    steps = (PROJECT / "docs" / "deploy.md").read_text()
    numbers = [path.stem.rpartition("-")[2] for path in COMMITTED]
    assert f"for n in {' '.join(numbers)}; do" in steps
    assert f"--cloudformation-execution-policies {','.join(f'$ARN-{number}' for number in numbers)}" in steps


def test_additional_actions_have_a_source() -> None:
    for actions in ADDITIONAL_ACTIONS.values():
        assert all(source.startswith("https://") for source in actions.values())


def test_no_policy_has_a_wildcard_action() -> None:
    for statement in STATEMENTS:
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action]


def test_a_role_can_have_all_policies() -> None:
    assert len(COMMITTED) <= 10, "IAM's limit for one role"


def test_bootstrap_roles_and_foreign_policies_are_out_of_reach() -> None:
    (attach,) = [one for one in STATEMENTS if "iam:AttachRolePolicy" in one["Action"]]
    assert attach["Condition"] == {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/policy-*"}}
    bootstrap = "arn:aws:iam::111111111111:role/cdk-hnb659fds-cfn-exec-role-111111111111-us-east-1"
    for action in ("iam:AttachRolePolicy", "iam:PassRole", "iam:UpdateAssumeRolePolicy", "iam:DeleteRole"):
        assert not allowed(action, bootstrap)
    for action in ("iam:PutRolePolicy", "iam:PutUserPolicy", "iam:CreateUser", "iam:CreateAccessKey"):
        assert not is_listed(action)
