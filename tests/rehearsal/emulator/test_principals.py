"""A policy may name only principals that exist."""

from typing import Any

import pytest

from rehearsal.account import sessions
from rehearsal.emulator.authorization.named_principals import named_principals
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.deployer import trust
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

UNKNOWN = f"arn:aws:iam::{sessions.ACCOUNT_ID}:role/unknown"
EXISTING = get("Role", "Arn")
ROLE = resource("AWS::IAM::Role", RoleName="existing", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))


def policy(principal: object, action: str = "*") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def resources_with(principal: object) -> dict[str, tuple[dict[str, Any], str]]:
    """Return by service the resources, of which `A` has a policy with the principal, and the error of the service."""
    code = {"ZipFile": "def handler(event, context): pass"}
    function = resource(
        "AWS::Lambda::Function",
        Code=code,
        FunctionName="function-one",
        Handler="index.handler",
        Role=EXISTING,
        Runtime="python3.12",
    )
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
    }


@pytest.mark.parametrize("service", sorted(resources_with(UNKNOWN)))
def test_an_unknown_principal_is_refused(emulator: EmulatorProcess, service: str) -> None:
    stacks = Stacks(emulator.port)
    resources, message = resources_with(UNKNOWN)[service]
    with pytest.raises(StackFailedError) as failure:
        stacks.deploy("unknown", {"Role": ROLE, **resources})
    assert f"A: Resource handler returned message: {message}" in str(failure.value).replace(
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: '", ""
    )
    assert UNKNOWN in str(failure.value)
    stacks.delete("unknown")


@pytest.mark.parametrize("service", sorted(resources_with(UNKNOWN)))
def test_an_existing_role_is_accepted(emulator: EmulatorProcess, service: str) -> None:
    stacks = Stacks(emulator.port)
    resources, _ = resources_with(EXISTING)[service]
    stacks.deploy("existing", {"Role": ROLE, **resources})
    stacks.delete("existing")


def test_roots_and_other_accounts_count_as_existing(emulator: EmulatorProcess) -> None:
    stacks = Stacks(emulator.port)
    principals = [f"arn:aws:iam::{sessions.ACCOUNT_ID}:root", "arn:aws:iam::111122223333:role/other"]
    stacks.deploy("others", {"A": resource("AWS::KMS::Key", KeyPolicy=policy(principals))})
    stacks.delete("others")


def test_principals_of_all_forms_are_found() -> None:
    assert list(named_principals('{"Statement": {"NotPrincipal": {"AWS": ["a", "b"]}}}')) == ["a", "b"]
    assert list(named_principals({"Statement": [{"Principal": "*"}, {"Principal": {"Service": "s"}}]})) == []
    assert list(named_principals("events.amazonaws.com")) == ["events.amazonaws.com"]
