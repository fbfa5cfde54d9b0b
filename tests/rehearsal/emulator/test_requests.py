"""Calls are decided by the deployed policies: by all kinds of them, and nothing is decided twice."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from rehearsal.account.authorization_client import DeniedError
from rehearsal.account.sessions import ACCOUNT_ID
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import BUILD, ROOT, Account, document, statement
from tests.rehearsal.emulator.stacks import Stacks

pytestmark = pytest.mark.rehearsal


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value)


def test_a_role_is_assumed_only_by_the_service_that_it_trusts(account: Account) -> None:
    role = account.role("trusting")
    assert account.credentials(role).session_token
    with pytest.raises(DeniedError, match=r"ecs-tasks\.amazonaws\.com is not authorized to perform sts:AssumeRole"):
        account.principals.assume(role, service="ecs-tasks.amazonaws.com", session="test")


def test_a_trust_policy_may_ask_on_whose_behalf_the_service_comes(account: Account) -> None:
    role = account.role("careful")
    trust = document(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": BUILD},
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT_ID}},
        }
    )
    account.session.client("iam").update_assume_role_policy(RoleName="careful", PolicyDocument=trust)
    context = {"aws:SourceAccount": ACCOUNT_ID}
    assert account.principals.assume(role, service=BUILD, session="test", context=context)
    with pytest.raises(DeniedError):
        account.principals.assume(role, service=BUILD, session="test", context={"aws:SourceAccount": "1" * 12})


def test_a_request_is_decided_by_the_policies_of_who_signed_it(account: Account) -> None:
    acting = account.act_as(account.role("reader", statement("s3:ListAllMyBuckets")))
    assert "Buckets" in acting.client("s3").list_buckets()
    assert "ecs:ListClusters" in refusal(acting.client("ecs").list_clusters)
    session = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/reader/test"
    assert (session, True) in account.entries("s3:ListAllMyBuckets")
    assert (session, False) in account.entries("ecs:ListClusters")


def test_a_denial_names_principal_action_resource_and_the_missing_statement(account: Account) -> None:
    role, queue = account.role("poor"), f"arn:aws:sqs:us-east-1:{ACCOUNT_ID}:queue"
    with pytest.raises(DeniedError) as caught:
        account.principals.require(role, "sqs:SendMessage", queue)
    missing = json.dumps({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue})
    assert f"{role} is not authorized to perform sqs:SendMessage on {queue}" in str(caught.value)
    assert str(caught.value).endswith(f"Missing in the policies of {role}: {missing}")


def test_who_does_not_exist_may_do_nothing(account: Account) -> None:
    with pytest.raises(DeniedError, match="the account has no role nobody"):
        account.principals.require(f"arn:aws:iam::{ACCOUNT_ID}:role/nobody", "s3:ListAllMyBuckets")


def test_a_key_policy_must_allow_what_a_role_may(account: Account) -> None:
    role = account.role("encrypting", statement("kms:Decrypt"))
    kms = account.session.client("kms")
    lenient = kms.create_key(Policy=document(statement("kms:*", Principal={"AWS": ROOT})))["KeyMetadata"]["Arn"]
    strict = kms.create_key(Policy=document(statement("kms:Put*", Principal={"AWS": ROOT})))["KeyMetadata"]["Arn"]
    account.principals.require(role, "kms:Decrypt", lenient)
    with pytest.raises(DeniedError):
        account.principals.require(role, "kms:Decrypt", strict)


def test_a_service_needs_the_resources_own_policy(account: Account) -> None:
    policy = document(
        statement(
            "kms:GenerateDataKey*",
            Principal={"Service": "cloudwatch.amazonaws.com"},
            Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT_ID}},
        )
    )
    key = account.session.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    call = ("cloudwatch.amazonaws.com", "kms:GenerateDataKey", key)
    account.principals.require(*call, context={"aws:SourceAccount": ACCOUNT_ID})
    for others, context in ((call, {}), (("events.amazonaws.com", *call[1:]), {"aws:SourceAccount": ACCOUNT_ID})):
        with pytest.raises(DeniedError):
            account.principals.require(*others, context=context)


def test_principal_arn_is_the_role_whatever_the_session(account: Account) -> None:
    role = account.role("named")
    policy = document(
        statement("kms:Decrypt", Principal={"AWS": ROOT}, Condition={"ArnEquals": {"aws:PrincipalArn": role}})
    )
    key = account.session.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    account.session.client("iam").put_role_policy(
        RoleName="named", PolicyName="inline", PolicyDocument=document(statement("kms:Decrypt"))
    )
    account.principals.require(role, "kms:Decrypt", key)


def test_reading_an_encrypted_secret_takes_its_key_too(account: Account, emulator: EmulatorProcess) -> None:
    root = {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": {"AWS": ROOT}}
    stacks = Stacks(emulator.port)
    stacks.deploy(
        "encrypted",
        {
            "Key": {
                "Type": "AWS::KMS::Key",
                "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": [root]}},
            },
            "Secret": {
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {"Name": "encrypted", "SecretString": "s", "KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]}},
            },
        },
    )
    secrets = account.act_as(account.role("half", statement("secretsmanager:GetSecretValue"))).client("secretsmanager")
    assert "AccessDenied" in refusal(lambda: secrets.get_secret_value(SecretId="encrypted"))
    both = statement(["secretsmanager:GetSecretValue", "kms:Decrypt"])
    secrets = account.act_as(account.role("whole", both)).client("secretsmanager")
    assert secrets.get_secret_value(SecretId="encrypted")["SecretString"] == "s"


def test_a_permissions_boundary_limits(account: Account) -> None:
    iam = account.session.client("iam")
    limit = iam.create_policy(PolicyName="limit", PolicyDocument=document(statement("ecs:ListClusters")))["Policy"][
        "Arn"
    ]
    role = account.role("limited", statement("*"))
    iam.put_role_permissions_boundary(RoleName="limited", PermissionsBoundary=limit)
    account.principals.require(role, "ecs:ListClusters")
    with pytest.raises(DeniedError):
        account.principals.require(role, "s3:ListAllMyBuckets")


def test_equal_calls_are_counted_not_repeated(account: Account) -> None:
    role = account.role("busy", statement("ecs:ListClusters"))
    for _ in range(3):
        account.principals.require(role, "ecs:ListClusters")
    found = [one for one in account.principals.decisions().entries if one["principal"] == role]
    assert [(one["action"], one["count"]) for one in found] == [("ecs:ListClusters", 3)]


def test_the_emulator_itself_is_nobody_whose_calls_count(account: Account) -> None:
    account.session.client("ecs").list_clusters()
    assert not [entry for entry in account.principals.decisions().entries if entry["principal"] == ROOT]
