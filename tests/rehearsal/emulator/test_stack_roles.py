"""CloudFormation is authorized by the policies of the stack's role, and of what a resource uses."""

import json
import re
from collections.abc import Mapping
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError

from rehearsal.account import sessions
from rehearsal.account.authorization_client import AuthorizationClient
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.deployer import ROLE, allow, create_deployer, deny, deployer_policies, trust
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

ROOT = f"arn:aws:iam::{sessions.ACCOUNT_ID}:root"
LOGS = "logs.us-east-1.amazonaws.com"
WITHOUT_GRANTS = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:PutKeyPolicy"]


@pytest.fixture(scope="module")
def stacks(emulator: EmulatorProcess) -> Stacks:
    create_deployer(emulator)
    return Stacks(emulator.port, role=ROLE)


@pytest.fixture
def session(emulator: EmulatorProcess) -> boto3.session.Session:
    return sessions.open_session(emulator.port)


def refused(stacks: Stacks, resources: Mapping[str, Any]) -> str:
    """Return the reason for which a stack is refused, and delete it."""
    with pytest.raises(StackFailedError) as failure:
        stacks.deploy("refused", resources)
    if stacks.status("refused") == "ROLLBACK_COMPLETE":
        stacks.delete("refused")
    return str(failure.value)


def function(**properties: object) -> dict[str, Any]:
    code = {"ZipFile": "def handler(event, context): pass"}
    common = {"Code": code, "Handler": "index.handler", "Runtime": "python3.12", "FunctionName": "function-one"}
    return resource("AWS::Lambda::Function", **{**common, "Role": get("Role", "Arn"), **properties})


def role(*services: str, name: str = "role-one") -> dict[str, Any]:
    return resource("AWS::IAM::Role", RoleName=name, AssumeRolePolicyDocument=trust(*services))


def key(*actions: str, **more: object) -> dict[str, Any]:
    """Return a key whose policy allows these actions and its administration to the account."""
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
    administering = {**statement, "Action": administration}
    return resource(
        "AWS::KMS::Key", KeyPolicy={"Version": "2012-10-17", "Statement": [statement, administering]}, **more
    )


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
    ids=["topic", "read", "log group", "role", "pass role", "key"],
)
def test_a_denied_action_fails_the_stack(
    stacks: Stacks, emulator: EmulatorProcess, action: str, resources: dict[str, Any], arn: str
) -> None:
    with deployer_policies(emulator, deny(action)):
        reason = refused(stacks, resources)
    assert f"AccessDenied: {ROLE} is not authorized to perform {action} on " in reason
    assert f'Missing in the policies of {ROLE}: {{"Effect": "Allow", "Action": "{action}", "Resource": "' in reason
    assert re.search(f" on {arn} ", reason)


def test_a_denied_resource_is_not_created(
    stacks: Stacks, emulator: EmulatorProcess, session: boto3.session.Session
) -> None:
    with deployer_policies(emulator, deny("sns:TagResource")):
        refused(stacks, {"A": resource("AWS::SNS::Topic", TopicName="never")})
    assert not session.client("sns").list_topics()["Topics"]


def test_a_statement_applies_to_its_resources_only(stacks: Stacks, emulator: EmulatorProcess) -> None:
    policy = {"Version": "2012-10-17", "Statement": [allow("sns:*", resource="arn:aws:sns:*:*:allowed-*")]}
    with deployer_policies(emulator, policy):
        stacks.deploy("named", {"A": resource("AWS::SNS::Topic", TopicName="allowed-one")})
        stacks.delete("named")
        reason = refused(stacks, {"A": resource("AWS::SNS::Topic", TopicName="other-one")})
    assert "is not authorized to perform sns:CreateTopic on arn:aws:sns:us-east-1:000000000000:other-one" in reason


def test_updates_and_deletions_are_authorized(stacks: Stacks, emulator: EmulatorProcess) -> None:
    topic = resource("AWS::SNS::Topic", TopicName="changing", DisplayName="before")
    stacks.deploy("changing", {"A": topic})
    with deployer_policies(emulator, deny("sns:SetTopicAttributes")), pytest.raises(StackFailedError) as update:
        stacks.deploy("changing", {"A": resource("AWS::SNS::Topic", TopicName="changing", DisplayName="after")})
    assert "is not authorized to perform sns:SetTopicAttributes" in str(update.value)
    with deployer_policies(emulator, deny("sns:DeleteTopic")), pytest.raises(StackFailedError, match="DELETE_FAILED"):
        stacks.delete("changing")
    stacks.delete("changing")


def test_a_role_is_passed_only_to_the_allowed_service(stacks: Stacks, emulator: EmulatorProcess) -> None:
    condition = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "NotAction": ["iam:PassRole"], "Resource": "*"},
            {**allow("iam:PassRole"), "Condition": condition},
        ],
    }
    with deployer_policies(emulator, policy):
        reason = refused(stacks, {"Role": role("lambda.amazonaws.com"), "A": function()})
    assert "is not authorized to perform iam:PassRole on arn:aws:iam::000000000000:role/role-one" in reason


def test_an_encrypted_function_needs_a_grant_of_the_key(stacks: Stacks) -> None:
    # hashicorp/terraform#20813
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
    with deployer_policies(emulator, deny("kms:CreateGrant")):
        reason = refused(stacks, {"Key": key("kms:Decrypt", "kms:CreateGrant"), "A": cluster})
    assert "is not authorized to perform kms:CreateGrant" in reason


def test_a_secret_needs_its_key(stacks: Stacks) -> None:
    secret = resource("AWS::SecretsManager::Secret", Name="db-one", SecretString="{}", KmsKeyId=get("Key", "Arn"))
    reason = refused(stacks, {"Key": key("kms:Decrypt"), "A": secret})
    assert "is not authorized to perform kms:GenerateDataKey" in reason


def test_a_log_group_needs_its_service_in_the_key_policy(stacks: Stacks) -> None:
    group = resource("AWS::Logs::LogGroup", LogGroupName="logs-one", KmsKeyId=get("Key", "Arn"))
    reason = refused(stacks, {"Key": key("kms:Decrypt"), "A": group})
    assert f"AccessDenied: {LOGS} is not authorized to perform kms:Encrypt" in reason
    assert f'"Principal": {{"Service": "{LOGS}"}}' in reason


def test_a_key_policy_may_not_lock_out_the_account(stacks: Stacks) -> None:
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
    ids=["Lambda", "CodeBuild"],
)
def test_a_role_must_trust_its_service(stacks: Stacks, service: str, user: dict[str, Any]) -> None:
    reason = refused(stacks, {"Role": role("ec2.amazonaws.com"), "A": user})
    assert f"AccessDenied: {service} is not authorized to perform sts:AssumeRole on" in reason


def test_access_logs_need_a_bucket_policy(stacks: Stacks) -> None:
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


def test_a_dynamic_reference_is_resolved_as_the_stack_role(stacks: Stacks, emulator: EmulatorProcess) -> None:
    secret = resource("AWS::SecretsManager::Secret", Name="db-read", SecretString=json.dumps({"password": "x"}))
    stacks.deploy("secret", {"Secret": secret})
    reference = "{{resolve:secretsmanager:db-read:SecretString:password}}"
    with deployer_policies(emulator, deny("secretsmanager:GetSecretValue")):
        reason = refused(stacks, {"A": resource("AWS::SNS::Topic", DisplayName=reference)})
    stacks.delete("secret")
    assert "is not authorized to perform secretsmanager:GetSecretValue on arn:aws:secretsmanager:" in reason


@pytest.mark.usefixtures("stacks")
def test_an_ssm_parameter_is_read_as_the_stack_role(emulator: EmulatorProcess, session: boto3.session.Session) -> None:
    session.client("ssm").put_parameter(Name="/bootstrap/version", Value="30", Type="String")
    parameter = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/bootstrap/version"}
    template = {"Parameters": {"Version": parameter}, "Resources": {"A": resource("AWS::SNS::Topic")}}
    denied = "is not authorized to perform ssm:GetParameters on arn:aws:ssm:us-east-1:000000000000:parameter/bootstrap"
    with deployer_policies(emulator, deny("ssm:GetParameters")), pytest.raises(ClientError, match=denied):
        session.client("cloudformation").create_stack(
            StackName="parameters", TemplateBody=json.dumps(template), RoleARN=ROLE
        )


def test_a_custom_resource_is_invoked_as_the_stack_role(stacks: Stacks, emulator: EmulatorProcess) -> None:
    custom = resource("Custom::Thing", ServiceToken=get("Function", "Arn"))
    parts = {"Role": role("lambda.amazonaws.com"), "Function": function(), "A": custom}
    with deployer_policies(emulator, deny("lambda:InvokeFunction")):
        reason = refused(stacks, parts)
    assert "is not authorized to perform lambda:InvokeFunction on arn:aws:lambda:us-east-1:" in reason


def test_calls_of_the_root_are_not_authorized(stacks: Stacks, emulator: EmulatorProcess) -> None:
    Stacks(emulator.port).deploy("root", {"A": resource("AWS::SNS::Topic", TopicName="root-topic")})
    decisions = AuthorizationClient(port=emulator.port).decisions().entries
    assert not [entry for entry in decisions if "root-topic" in entry["resource"]]
    Stacks(emulator.port).delete("root")
