"""CloudFormation does only what the policies of the stack's role, and of what a resource uses, allow."""

import json
import re
from collections.abc import Mapping
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError

from rehearsal.account import sessions
from rehearsal.account.authorization_client import Principals
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.deployer import ROLE, allow, deny, deploying_with, make_role, trust
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

ROOT = f"arn:aws:iam::{sessions.ACCOUNT_ID}:root"
LOGS = "logs.us-east-1.amazonaws.com"
WITHOUT_GRANTS = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:PutKeyPolicy"]


@pytest.fixture(scope="module")
def stacks(emulator: EmulatorProcess) -> Stacks:
    make_role(emulator)
    return Stacks(emulator.port, role=ROLE)


@pytest.fixture
def session(emulator: EmulatorProcess) -> boto3.session.Session:
    return sessions.open_session(emulator.port)


def refused(stacks: Stacks, resources: Mapping[str, Any]) -> str:
    """Return why a stack is refused, and delete what is left of it."""
    with pytest.raises(StackFailedError) as failure:
        stacks.deploy("refused", resources)
    if stacks.status("refused") == "ROLLBACK_COMPLETE":
        stacks.delete("refused")
    return str(failure.value)


def function(**properties: Any) -> dict[str, Any]:
    code = {"ZipFile": "def handler(event, context): pass"}
    common = {"Code": code, "Handler": "index.handler", "Runtime": "python3.12", "FunctionName": "function-one"}
    return resource("AWS::Lambda::Function", **{**common, "Role": get("Role", "Arn"), **properties})


def role(*services: str, name: str = "role-one") -> dict[str, Any]:
    return resource("AWS::IAM::Role", RoleName=name, AssumeRolePolicyDocument=trust(*services))


def key(*actions: str, **more: Any) -> dict[str, Any]:
    """Return a key whose policy allows some actions to the account."""
    statement = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": [*actions], "Resource": "*"}
    administration = [
        "kms:CreateAlias",
        "kms:DescribeKey",
        "kms:DisableKey",
        "kms:EnableKeyRotation",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListResourceTags",
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "kms:TagResource",
    ]
    lasting = {**statement, "Action": administration}
    return resource("AWS::KMS::Key", KeyPolicy={"Version": "2012-10-17", "Statement": [statement, lasting]}, **more)


@pytest.mark.parametrize(
    ("action", "resources", "arn"),
    [
        ("sns:CreateTopic", {"A": resource("AWS::SNS::Topic", TopicName="topic-one")}, "arn:aws:sns:.*:topic-one"),
        ("sns:GetTopicAttributes", {"A": resource("AWS::SNS::Topic", TopicName="t")}, "arn:aws:sns:.*:t"),
        (
            "logs:PutRetentionPolicy",
            {"A": resource("AWS::Logs::LogGroup", LogGroupName="logs-one", RetentionInDays=1)},
            "arn:aws:logs:.*:log-group:logs-one",
        ),
        ("iam:CreateRole", {"A": role("lambda.amazonaws.com")}, "arn:aws:iam::.*:role/role-one"),
        ("iam:PassRole", {"Role": role("lambda.amazonaws.com"), "A": function()}, "arn:aws:iam::.*:role/role-one"),
        ("kms:CreateKey", {"A": key("kms:Decrypt")}, r"\*"),
    ],
)
def test_a_stack_fails_at_the_action_that_its_role_lacks(
    stacks: Stacks, emulator: EmulatorProcess, action: str, resources: dict[str, Any], arn: str
) -> None:
    with deploying_with(emulator, deny(action)):
        reason = refused(stacks, resources)
    assert f"AccessDenied: {ROLE} is not authorized to perform {action} on " in reason
    assert f'Missing in the policies of {ROLE}: {{"Effect": "Allow", "Action": "{action}", "Resource": "' in reason
    assert re.search(f" on {arn} ", reason)


def test_what_is_denied_is_not_made(stacks: Stacks, emulator: EmulatorProcess, session: boto3.session.Session) -> None:
    with deploying_with(emulator, deny("sns:TagResource")):
        refused(stacks, {"A": resource("AWS::SNS::Topic", TopicName="never")})
    assert not session.client("sns").list_topics()["Topics"]


def test_a_statement_for_other_names_does_not_help(stacks: Stacks, emulator: EmulatorProcess) -> None:
    ours = {"Version": "2012-10-17", "Statement": [allow("sns:*", resource="arn:aws:sns:*:*:ours-*")]}
    with deploying_with(emulator, ours):
        stacks.deploy("named", {"A": resource("AWS::SNS::Topic", TopicName="ours-one")})
        stacks.delete("named")
        reason = refused(stacks, {"A": resource("AWS::SNS::Topic", TopicName="theirs-one")})
    assert "is not authorized to perform sns:CreateTopic on arn:aws:sns:us-east-1:000000000000:theirs-one" in reason


def test_updates_and_deletions_are_decided_too(stacks: Stacks, emulator: EmulatorProcess) -> None:
    topic = resource("AWS::SNS::Topic", TopicName="changing", DisplayName="before")
    stacks.deploy("changing", {"A": topic})
    with deploying_with(emulator, deny("sns:SetTopicAttributes")), pytest.raises(StackFailedError) as update:
        stacks.deploy("changing", {"A": resource("AWS::SNS::Topic", TopicName="changing", DisplayName="after")})
    assert "is not authorized to perform sns:SetTopicAttributes" in str(update.value)
    with deploying_with(emulator, deny("sns:DeleteTopic")), pytest.raises(StackFailedError, match="DELETE_FAILED"):
        stacks.delete("changing")
    stacks.delete("changing")


def test_a_role_is_passed_only_to_the_service_that_the_policy_names(stacks: Stacks, emulator: EmulatorProcess) -> None:
    condition = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "NotAction": ["iam:PassRole"], "Resource": "*"},
            {**allow("iam:PassRole"), "Condition": condition},
        ],
    }
    with deploying_with(emulator, policy):
        reason = refused(stacks, {"Role": role("lambda.amazonaws.com"), "A": function()})
    assert "is not authorized to perform iam:PassRole on arn:aws:iam::000000000000:role/role-one" in reason


def test_an_encrypted_environment_needs_a_grant_of_the_key_policy(stacks: Stacks) -> None:
    """hashicorp/terraform#20813: whatever IAM allows."""
    encrypted = {"Role": role("lambda.amazonaws.com"), "A": function(KmsKeyArn=get("Key", "Arn"))}
    reason = refused(stacks, {**encrypted, "Key": key(*WITHOUT_GRANTS)})
    assert "is not authorized to perform kms:CreateGrant on arn:aws:kms:us-east-1:000000000000:key/" in reason
    assert "Missing in the policy of arn:aws:kms:us-east-1:000000000000:key/" in reason
    stacks.deploy("granted", {**encrypted, "Key": key(*WITHOUT_GRANTS, "kms:CreateGrant")})
    stacks.delete("granted")


def test_a_database_needs_grants_of_its_key(stacks: Stacks, emulator: EmulatorProcess) -> None:
    cluster = resource(
        "AWS::RDS::DBCluster",
        DBClusterIdentifier="aurora-one",
        Engine="aurora-postgresql",
        KmsKeyId=get("Key", "Arn"),
        MasterUsername="owner",
        MasterUserPassword="not-a-secret",
        StorageEncrypted=True,
    ) | {"DeletionPolicy": "Delete"}
    with deploying_with(emulator, deny("kms:CreateGrant")):
        reason = refused(stacks, {"Key": key("kms:Decrypt", "kms:CreateGrant"), "A": cluster})
    assert "is not authorized to perform kms:CreateGrant" in reason


def test_a_secret_needs_its_key_through_its_service(stacks: Stacks) -> None:
    secret = resource("AWS::SecretsManager::Secret", Name="db-one", SecretString="{}", KmsKeyId=get("Key", "Arn"))
    reason = refused(stacks, {"Key": key("kms:Decrypt"), "A": secret})
    assert "is not authorized to perform kms:GenerateDataKey" in reason


def test_a_log_group_needs_the_service_in_its_keys_policy(stacks: Stacks) -> None:
    group = resource("AWS::Logs::LogGroup", LogGroupName="logs-one", KmsKeyId=get("Key", "Arn"))
    reason = refused(stacks, {"Key": key("kms:Decrypt"), "A": group})
    assert f"AccessDenied: {LOGS} is not authorized to perform kms:Encrypt" in reason
    assert f'"Principal": {{"Service": "{LOGS}"}}' in reason


def test_a_key_policy_that_locks_everybody_out_is_refused(stacks: Stacks) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": ["kms:DescribeKey"], "Resource": "*"}
    locked = {"Version": "2012-10-17", "Statement": [statement]}
    assert "will not allow you to update" in refused(stacks, {"Key": resource("AWS::KMS::Key", KeyPolicy=locked)})
    stacks.deploy("lockout", {"Key": key("kms:Decrypt")})
    with pytest.raises(StackFailedError, match="will not allow you to update the key policy in the future"):
        stacks.deploy("lockout", {"Key": resource("AWS::KMS::Key", KeyPolicy=locked)})
    stacks.delete("lockout")


@pytest.mark.parametrize(
    ("service", "user"),
    [
        ("lambda.amazonaws.com", function()),
        (
            "codebuild.amazonaws.com",
            resource(
                "AWS::CodeBuild::Project",
                Name="project-one",
                ServiceRole=get("Role", "Arn"),
                Artifacts={"Type": "NO_ARTIFACTS"},
                Source={"Type": "NO_SOURCE", "BuildSpec": "version: 0.2"},
                Environment={
                    "Type": "ARM_CONTAINER",
                    "ComputeType": "BUILD_GENERAL1_SMALL",
                    "Image": "aws/codebuild/standard:7.0",
                },
            ),
        ),
    ],
)
def test_a_role_that_its_service_may_not_assume_is_refused(stacks: Stacks, service: str, user: dict[str, Any]) -> None:
    reason = refused(stacks, {"Role": role("ec2.amazonaws.com"), "A": user})
    assert f"AccessDenied: {service} is not authorized to perform sts:AssumeRole on" in reason


def test_access_logs_need_a_bucket_policy_for_the_load_balancing_service(stacks: Stacks) -> None:
    def load_balancer(principal: str) -> dict[str, Any]:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": principal} if principal.endswith(".com") else {"AWS": principal},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::alb-logs-one/AWSLogs/{sessions.ACCOUNT_ID}/*",
        }
        attributes = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "alb-logs-one"}
        return {
            "Bucket": resource("AWS::S3::Bucket", BucketName="alb-logs-one"),
            "Policy": resource(
                "AWS::S3::BucketPolicy",
                Bucket=ref("Bucket"),
                PolicyDocument={"Version": "2012-10-17", "Statement": [statement]},
            ),
            "A": resource(
                "AWS::ElasticLoadBalancingV2::LoadBalancer",
                Name="alb-one",
                LoadBalancerAttributes=[{"Key": name, "Value": value} for name, value in attributes.items()],
            )
            | {"DependsOn": ["Policy"]},
        }

    reason = refused(stacks, load_balancer("delivery.logs.amazonaws.com"))
    assert "logdelivery.elasticloadbalancing.amazonaws.com is not authorized to perform s3:PutObject" in reason
    for allowed in ("logdelivery.elasticloadbalancing.amazonaws.com", "arn:aws:iam::127311923021:root"):
        stacks.deploy("logged", load_balancer(allowed))
        stacks.delete("logged")


def test_a_dynamic_reference_is_read_by_the_stacks_role(stacks: Stacks, emulator: EmulatorProcess) -> None:
    secret = resource("AWS::SecretsManager::Secret", Name="db-read", SecretString=json.dumps({"password": "x"}))
    stacks.deploy("secret", {"Secret": secret})
    reference = "{{resolve:secretsmanager:db-read:SecretString:password}}"
    with deploying_with(emulator, deny("secretsmanager:GetSecretValue")):
        reason = refused(stacks, {"A": resource("AWS::SNS::Topic", DisplayName=reference)})
    stacks.delete("secret")
    assert "is not authorized to perform secretsmanager:GetSecretValue on arn:aws:secretsmanager:" in reason


@pytest.mark.usefixtures("stacks")
def test_a_parameter_in_ssm_is_read_by_the_stacks_role(
    emulator: EmulatorProcess, session: boto3.session.Session
) -> None:
    session.client("ssm").put_parameter(Name="/bootstrap/version", Value="30", Type="String")
    parameter = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/bootstrap/version"}
    template = {"Parameters": {"Version": parameter}, "Resources": {"A": resource("AWS::SNS::Topic")}}
    denied = "is not authorized to perform ssm:GetParameters on arn:aws:ssm:us-east-1:000000000000:parameter/bootstrap"
    with deploying_with(emulator, deny("ssm:GetParameters")), pytest.raises(ClientError, match=denied):
        session.client("cloudformation").create_stack(
            StackName="parameters", TemplateBody=json.dumps(template), RoleARN=ROLE
        )


def test_a_custom_resource_calls_its_function_as_the_stacks_role(stacks: Stacks, emulator: EmulatorProcess) -> None:
    custom = resource("Custom::Thing", ServiceToken=get("Function", "Arn"))
    parts = {"Role": role("lambda.amazonaws.com"), "Function": function(), "A": custom}
    with deploying_with(emulator, deny("lambda:InvokeFunction")):
        reason = refused(stacks, parts)
    assert "is not authorized to perform lambda:InvokeFunction on arn:aws:lambda:us-east-1:" in reason


def test_what_the_emulators_root_makes_is_not_decided(stacks: Stacks, emulator: EmulatorProcess) -> None:
    Stacks(emulator.port).deploy("rooted", {"A": resource("AWS::SNS::Topic", TopicName="rooted")})
    decisions = Principals(port=emulator.port).decisions().entries
    assert not [entry for entry in decisions if "rooted" in entry["resource"]]
    Stacks(emulator.port).delete("rooted")
