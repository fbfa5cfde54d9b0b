"""A policy may name only principals that exist when it is set."""

from typing import Any

import pytest

from rehearsal.account import sessions
from rehearsal.emulator.authorization.named_principals import named_principals
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.deployer import trust
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

NOBODY = f"arn:aws:iam::{sessions.ACCOUNT_ID}:role/nobody"
SOMEBODY = get("Somebody", "Arn")
ROLE = resource("AWS::IAM::Role", RoleName="somebody", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))


def policy(principal: object, action: str = "*") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def named(principal: object) -> dict[str, tuple[dict[str, Any], str]]:
    """Return, by service, resources of which `A` has a policy that names the principal, and the service's refusal."""
    code = {"ZipFile": "def handler(event, context): pass"}
    function = resource(
        "AWS::Lambda::Function",
        Code=code,
        FunctionName="function-one",
        Handler="index.handler",
        Role=SOMEBODY,
        Runtime="python3.12",
    )
    secret = resource("AWS::SecretsManager::Secret", Name="db-one", SecretString="{}")
    return {
        "ECR": (
            {"A": resource("AWS::ECR::Repository", RepositoryName="images", RepositoryPolicyText=policy(principal))},
            "Invalid repository policy provided",
        ),
        "IAM": (
            {"A": resource("AWS::IAM::Role", AssumeRolePolicyDocument=policy(principal, "sts:AssumeRole"))},
            'Invalid principal in policy: "AWS":"',
        ),
        "KMS": (
            {"A": resource("AWS::KMS::Key", KeyPolicy=policy(principal))},
            "Policy contains a statement with one or more invalid principals.",
        ),
        "Lambda": (
            {
                "Function": function,
                "A": resource(
                    "AWS::Lambda::Permission",
                    Action="lambda:InvokeFunction",
                    FunctionName=ref("Function"),
                    Principal=principal,
                ),
            },
            "The provided principal was invalid.",
        ),
        "S3": (
            {
                "Bucket": resource("AWS::S3::Bucket", BucketName="bucket-one"),
                "A": resource("AWS::S3::BucketPolicy", Bucket=ref("Bucket"), PolicyDocument=policy(principal)),
            },
            "Invalid principal in policy",
        ),
        "SNS": (
            {
                "Topic": resource("AWS::SNS::Topic", TopicName="topic-one"),
                "A": resource("AWS::SNS::TopicPolicy", Topics=[ref("Topic")], PolicyDocument=policy(principal)),
            },
            "Invalid parameter: Policy Error: PrincipalNotFound",
        ),
        "Secrets Manager": (
            {
                "Secret": secret,
                "A": resource(
                    "AWS::SecretsManager::ResourcePolicy", SecretId=ref("Secret"), ResourcePolicy=policy(principal)
                ),
            },
            "This resource policy contains an unsupported principal",
        ),
    }


@pytest.mark.parametrize("service", sorted(named(NOBODY)))
def test_a_policy_that_names_nobody_is_refused(emulator: EmulatorProcess, service: str) -> None:
    stacks = Stacks(emulator.port)
    resources, message = named(NOBODY)[service]
    with pytest.raises(StackFailedError) as failure:
        stacks.deploy("nobody", {"Somebody": ROLE, **resources})
    assert f"A: Resource handler returned message: {message}" in str(failure.value).replace(
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: '", ""
    )
    assert NOBODY in str(failure.value)
    stacks.delete("nobody")


@pytest.mark.parametrize("service", sorted(named(NOBODY)))
def test_a_policy_that_names_a_role_is_taken(emulator: EmulatorProcess, service: str) -> None:
    stacks = Stacks(emulator.port)
    resources, _ = named(SOMEBODY)[service]
    stacks.deploy("somebody", {"Somebody": ROLE, **resources})
    stacks.delete("somebody")


def test_roots_services_and_other_accounts_are_taken_to_exist(emulator: EmulatorProcess) -> None:
    stacks = Stacks(emulator.port)
    principals = [f"arn:aws:iam::{sessions.ACCOUNT_ID}:root", "arn:aws:iam::111122223333:role/theirs"]
    stacks.deploy("others", {"A": resource("AWS::KMS::Key", KeyPolicy=policy(principals))})
    stacks.delete("others")


def test_all_forms_of_a_policy_are_read() -> None:
    assert list(named_principals('{"Statement": {"NotPrincipal": {"AWS": ["a", "b"]}}}')) == ["a", "b"]
    assert list(named_principals({"Statement": [{"Principal": "*"}, {"Principal": {"Service": "s"}}]})) == []
    assert list(named_principals("events.amazonaws.com")) == ["events.amazonaws.com"]
