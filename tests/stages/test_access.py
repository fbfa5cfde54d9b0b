"""Least privilege: every statement of every policy is spelled out here, so that none changes unnoticed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.policies import PREFIX_RESOURCES, WILDCARD_ACTIONS, WILDCARD_RESOURCES
from tests.stages.conftest import CERTIFICATE
from tests.stages.model import Json, Resource, Templates, statements

#: Types that hold policy documents, and the properties that do.
DOCUMENTS = {
    "AWS::IAM::Role": ("AssumeRolePolicyDocument",),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument",),
    "AWS::IAM::Policy": ("PolicyDocument",),
    "AWS::KMS::Key": ("KeyPolicy",),
    "AWS::S3::BucketPolicy": ("PolicyDocument",),
    "AWS::SNS::TopicPolicy": ("PolicyDocument",),
    "AWS::EC2::VPCEndpoint": ("PolicyDocument",),
    "AWS::Logs::ResourcePolicy": ("PolicyDocument",),
}


#: Policies that apply only to what they are attached to: `*` is the key, `/*` are the bucket's objects.
OWN = ("AWS::KMS::Key", "AWS::S3::BucketPolicy", "AWS::IAM::Role")


def policies(templates: Templates) -> Iterator[tuple[Resource, Json]]:
    for resource_type, properties in DOCUMENTS.items():
        for resource in templates.all(resource_type):
            for name in properties:
                document = resource[name]
                for statement in statements(json.loads(document) if isinstance(document, str) else document):
                    yield resource, statement


def granted(templates: Templates, role: str, suffix: str = "dev") -> list[tuple[str, list[str], list[str], Any]]:
    """What a role may do: (sid, actions, resources, conditions), with physical names instead of references."""
    found = templates.one("AWS::IAM::Role", RoleName=f"role-{role}-{suffix}")
    assert not found.properties.get("Policies"), "there are no inline policies"
    assert not found.properties.get("ManagedPolicyArns"), "AWS managed policies are broader than needed"
    return [
        (
            statement["Sid"],
            statement["Action"],
            sorted(_physical(templates, policy.stack, each) for each in statement["Resource"]),
            statement.get("Condition"),
        )
        for policy in templates.all("AWS::IAM::ManagedPolicy", stack=found.stack)
        if {"Ref": found.logical_id} in policy["Roles"]
        for statement in statements(policy["PolicyDocument"])
    ]


def _physical(templates: Templates, stack: str, value: object) -> str:
    text = str(templates.resolve(stack, value))
    names = {"AWS::SecretsManager::Secret": "Name", "AWS::Logs::LogGroup": "LogGroupName", "AWS::KMS::Key": None}
    for resource_type, name in names.items():
        for resource in templates.all(resource_type):
            for ending in (".Arn", ""):
                if text == f"{resource.stack}/{resource.logical_id}{ending}":
                    return f"{resource_type.split('::')[1]} {resource[name] if name else ''}".strip()
    return text


THROUGH_SECRETS_MANAGER = {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}
DECRYPT = ("UseKeyForSecrets", ["kms:Decrypt"], ["KMS"], THROUGH_SECRETS_MANAGER)
WRITE = ["logs:CreateLogStream", "logs:PutLogEvents"]


@pytest.mark.parametrize("kind", ["api", "worker"])
def test_execution_roles_read_their_own_secrets_image_and_logs(dev: Templates, kind: str) -> None:
    token, pull, logs, secrets, decrypt = granted(dev, f"{kind}-execution")
    assert token == ("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"], None)
    assert pull[:2] == (
        "PullImage",
        ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    )
    (repository,) = pull[2]
    assert ":repository/cdk-hnb659fds-container-assets-111111111111-us-east-1" in repository
    assert logs == ("WriteLogs", WRITE, [f"Logs {kind}-logs-dev", "Logs migrate-logs-dev"], None) or logs == (
        "WriteLogs",
        WRITE,
        ["Logs migrate-logs-dev", f"Logs {kind}-logs-dev"],
        None,
    )
    assert secrets == (
        "ReadOwnSecrets",
        ["secretsmanager:GetSecretValue"],
        [
            f"SecretsManager {name}-dev"
            for name in ("db-app-credentials", "db-credentials", "processor-keys", "smoke-api-key")
        ],
        None,
    )
    assert decrypt == DECRYPT


def test_an_admin_task_starts_without_the_owners_credentials(dev: Templates) -> None:
    _, _, logs, secrets, decrypt = granted(dev, "admin-execution")
    assert logs == ("WriteLogs", WRITE, ["Logs admin-logs-dev"], None)
    names = [f"SecretsManager {name}-dev" for name in ("db-app-credentials", "processor-keys")]
    assert secrets == ("ReadOwnSecrets", ["secretsmanager:GetSecretValue"], names, None)
    assert decrypt == DECRYPT


def test_an_admin_task_may_write_one_secret_and_read_none(dev: Templates) -> None:
    assert granted(dev, "admin-task") == [
        ("LeaveApiKeys", ["secretsmanager:PutSecretValue"], ["SecretsManager live-api-key-dev"], None),
        ("UseKeyForSecrets", ["kms:Decrypt", "kms:GenerateDataKey"], ["KMS"], THROUGH_SECRETS_MANAGER),
    ]


@pytest.mark.parametrize("kind", ["api", "worker"])
def test_api_and_worker_have_no_permissions(dev: Templates, kind: str) -> None:
    assert granted(dev, f"{kind}-task") == []


def test_the_smoke_reader_reads_the_smoke_key_only(dev: Templates, prod: Templates) -> None:
    def key(suffix: str) -> list[Any]:
        secret = f"SecretsManager smoke-api-key-{suffix}"
        return [("ReadSmokeKey", ["secretsmanager:GetSecretValue"], [secret], None), DECRYPT]

    read = ("ReadCertificate", ["acm:DescribeCertificate", "acm:GetCertificate"], [CERTIFICATE], None)
    assert granted(dev, "smoke-reader") == [*key("dev"), read], "without a domain, TLS is verified against it"
    assert granted(prod, "smoke-reader", "prod") == key("prod")


def test_flow_logs_write_their_own_log_group(dev: Templates) -> None:
    assert granted(dev, "flow-logs") == [
        (
            "WriteFlowLogs",
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            ["Logs vpc-flow-logs-dev"],
            None,
        )
    ]


def test_custom_resources_have_minimal_permissions(dev: Templates) -> None:
    vpc, bucket = dev.one("AWS::EC2::VPC"), dev.one("AWS::S3::Bucket")
    group = f"{vpc.stack}/{vpc.logical_id}.DefaultSecurityGroup"
    assert granted(dev, "restrict-default-group") == [
        (
            "RestrictDefaultGroup",
            ["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"],
            [f"arn:aws:ec2:us-east-1:111111111111:security-group/{group}"],
            None,
        ),
        ("WriteOwnLog", WRITE, ["Logs /aws/lambda/function-restrict-default-group-dev"], None),
    ]
    arn = f"{bucket.stack}/{bucket.logical_id}.Arn"
    assert granted(dev, "empty-bucket") == [
        ("ListVersions", ["s3:ListBucketVersions"], [arn], None),
        ("DeleteVersions", ["s3:DeleteObject", "s3:DeleteObjectVersion"], [f"{arn}/*"], None),
        ("WriteOwnLog", WRITE, ["Logs /aws/lambda/function-empty-bucket-dev"], None),
    ]


def test_ecs_may_shift_requests_between_the_two_groups_only(canary: Templates) -> None:
    stack, prefix = "payment-service-canary-alice", "elasticloadbalancing:"
    groups, rules, listeners = (
        {f"{stack}/{each.logical_id}" for each in canary.all(f"AWS::ElasticLoadBalancingV2::{kind}")}
        for kind in ("TargetGroup", "ListenerRule", "Listener")
    )
    redirect = canary.one("AWS::ElasticLoadBalancingV2::Listener", Port=80)
    listeners.remove(f"{stack}/{redirect.logical_id}")
    describe = ("Listeners", "Rules", "TargetGroups", "TargetHealth")
    assert granted(canary, "api-traffic", "canary-alice") == [
        ("ReadLoadBalancers", [f"{prefix}Describe{each}" for each in describe], ["*"], None),
        ("RegisterTasks", [f"{prefix}DeregisterTargets", f"{prefix}RegisterTargets"], sorted(groups), None),
        ("ShiftRequests", [f"{prefix}ModifyRule"], sorted(rules), None),
        ("ShiftDefaults", [f"{prefix}ModifyListener"], sorted(listeners), None),
    ]
    assert [len(each) for each in (groups, rules, listeners)] == [2, 2, 2]


ROLES = {
    "role-api-execution",
    "role-api-task",
    "role-worker-execution",
    "role-worker-task",
    "role-admin-execution",
    "role-admin-task",
    "role-smoke-reader",
    "role-flow-logs",
    "role-restrict-default-group",
    "role-empty-bucket",
}


def test_there_are_no_other_roles(environments: dict[str, Templates]) -> None:
    for name, templates in environments.items():
        suffix = templates.one("AWS::CloudWatch::Dashboard")["DashboardName"].removeprefix("dashboard-")
        roles = {str(role["RoleName"]).removesuffix(f"-{suffix}") for role in templates.all("AWS::IAM::Role")}
        assert roles == (ROLES | {"role-api-traffic"} if name == "Canary" else ROLES)


def test_only_the_intended_service_or_account_assumes_a_role(environments: dict[str, Templates]) -> None:
    places = {"Dev": "111111111111", "Prod": "222222222222", "Canary": "111111111111"}
    pipeline = "111111111111"
    for name, account in places.items():
        templates = environments[name]
        for role in templates.all("AWS::IAM::Role"):
            (statement,) = statements(role["AssumeRolePolicyDocument"])
            assert statement["Action"] == ["sts:AssumeRole"]
            (principal,) = statement["Principal"].values()
            condition = statement.get("Condition", {})
            match principal:
                case "ecs-tasks.amazonaws.com":
                    assert condition == {
                        "StringEquals": {"aws:SourceAccount": account},
                        "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:us-east-1:{account}:*"},
                    }
                case "ecs.amazonaws.com":
                    assert (role["RoleName"], name) == ("role-api-traffic-canary-alice", "Canary")
                case "vpc-flow-logs.amazonaws.com":
                    assert condition == {"StringEquals": {"aws:SourceAccount": account}}
                case "lambda.amazonaws.com":
                    assert role["RoleName"].split("-")[1] in ("restrict", "empty")
                case _:
                    assert str(role["RoleName"]).startswith("role-smoke-reader-")
                    arn = str(templates.resolve(role.stack, principal))
                    assert pipeline in arn


def test_the_key_policy_names_every_user(dev: Templates) -> None:
    key = dev.one("AWS::KMS::Key")
    found = {statement["Sid"]: statement for statement in statements(key["KeyPolicy"])}
    assert set(found) == {"Administration", "UseThroughServices", "GrantsForServices", "LogGroups", "AlarmsToTopic"}
    reads = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant"}
    assert not reads & set(found["Administration"]["Action"]), "administrators cannot decrypt"
    services = [f"{name}.us-east-1.amazonaws.com" for name in ("rds", "secretsmanager", "sns")]
    assert found["UseThroughServices"]["Condition"] == {"StringEquals": {"kms:ViaService": services}}
    assert found["GrantsForServices"]["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert found["GrantsForServices"]["Condition"]["StringEquals"] == {"kms:ViaService": services}
    alarms = found["AlarmsToTopic"]
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "111111111111"}}


def test_the_key_encrypts_every_log_group_and_no_other(each: Templates) -> None:
    key = each.one("AWS::KMS::Key")
    (statement,) = (item for item in statements(key["KeyPolicy"]) if item["Sid"] == "LogGroups")
    allowed = statement["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"]
    groups = [group["LogGroupName"] for group in each.all("AWS::Logs::LogGroup")]
    assert sorted(arn.split(":log-group:")[1] for arn in allowed) == sorted(groups)
    assert statement["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}


def test_only_alarms_publish_to_the_topic(dev: Templates) -> None:
    policy = dev.one("AWS::SNS::TopicPolicy")
    allowed = [item for item in statements(policy["PolicyDocument"]) if item["Effect"] == "Allow"]
    denied = [item for item in statements(policy["PolicyDocument"]) if item["Effect"] == "Deny"]
    assert [item["Principal"] for item in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
    assert allowed[0]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111111111111"},
        "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:us-east-1:111111111111:alarm:*"},
    }
    assert [item["Condition"] for item in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_only_log_delivery_writes_to_the_log_bucket(dev: Templates) -> None:
    policy = dev.one("AWS::S3::BucketPolicy")
    allowed = [item for item in statements(policy["PolicyDocument"]) if item["Effect"] == "Allow"]
    assert {action for item in allowed for action in item["Action"]} <= {"s3:PutObject", "s3:GetBucketAcl"}


def everything(whole_app: Path) -> list[Templates]:
    """The templates of the whole app: the pipeline's and those of each environment."""
    return [Templates.of(folder) for folder in (whole_app, *sorted(whole_app.glob("assembly-*")))]


def test_no_action_is_a_wildcard(each: Templates) -> None:
    for resource, statement in policies(each):
        if statement["Effect"] == "Allow":
            assert not [action for action in statement["Action"] if "*" in action], str(resource)
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), str(resource)


def test_wildcard_actions_are_explained(whole_app: Path) -> None:
    used, walked = set(), 0
    for templates in everything(whole_app):
        for resource, statement in policies(templates):
            walked += 1
            wild = {action for action in statement["Action"] if "*" in action}
            if wild and statement["Effect"] == "Allow":
                assert resource.type in ("AWS::S3::BucketPolicy", "AWS::KMS::Key"), f"{resource} allows {wild}"
                assert wild <= set(WILDCARD_ACTIONS), f"{resource}: explain {wild} in kit/policies.py"
                assert statement["Principal"] != {"AWS": "*"}
                used |= wild
    assert walked >= 100, "two environments and the pipeline"
    assert used == set(WILDCARD_ACTIONS), "the table contains reasons that are no longer needed"


def test_wildcard_resources_are_explained(whole_app: Path) -> None:
    used: set[str] = set()
    for templates in everything(whole_app):
        for resource, statement in policies(templates):
            if statement["Effect"] == "Deny" or resource.type in OWN:
                continue
            for value in statement["Resource"]:
                text = str(templates.resolve(resource.stack, value))
                if "*" in text:
                    explained = WILDCARD_RESOURCES if text == "*" else PREFIX_RESOURCES
                    unexplained = set(statement["Action"]) - set(explained)
                    assert not unexplained, f"{resource}: {unexplained} on {text}: explain it in kit/policies.py"
                    used |= set(statement["Action"])
    unneeded = (set(WILDCARD_RESOURCES) | set(PREFIX_RESOURCES)) - used
    assert not unneeded, "the table contains reasons that are no longer needed"


def test_permissions_are_named_managed_policies(each: Templates) -> None:
    assert not each.all("AWS::IAM::Policy")
    assert not each.all("AWS::IAM::User")
    assert len(each.all("AWS::IAM::ManagedPolicy")) == len(each.all("AWS::IAM::Role")) - 2, "api and worker tasks"
