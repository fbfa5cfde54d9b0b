"""API requests are authorized by the deployed policies."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from rehearsal.account.authorization_client import CallDeniedError
from rehearsal.account.sessions import ACCOUNT_ID
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import BUILD, ROOT, Account, document, statement
from tests.rehearsal.emulator.stacks import Stacks

pytestmark = pytest.mark.rehearsal


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value)


def test_a_role_is_assumed_only_by_a_service_that_it_trusts(account: Account) -> None:
    role = account.create_role("trusting")
    assert account.credentials(role).session_token
    with pytest.raises(CallDeniedError, match=r"ecs-tasks\.amazonaws\.com is not authorized to perform sts:AssumeRole"):
        account.authorization.assume(role, service="ecs-tasks.amazonaws.com", session="test")


def test_a_trust_policy_may_require_a_source_account(account: Account) -> None:
    role = account.create_role("careful")
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
    assert account.authorization.assume(role, service=BUILD, session="test", context=context)
    with pytest.raises(CallDeniedError):
        account.authorization.assume(role, service=BUILD, session="test", context={"aws:SourceAccount": "1" * 12})


def test_a_request_is_authorized_as_its_signer(account: Account) -> None:
    reader = account.session_of(account.create_role("reader", statement("s3:ListAllMyBuckets")))
    assert "Buckets" in reader.client("s3").list_buckets()
    assert "ecs:ListClusters" in refusal(reader.client("ecs").list_clusters)
    session = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/reader/test"
    assert (session, True) in account.entries("s3:ListAllMyBuckets")
    assert (session, False) in account.entries("ecs:ListClusters")


def test_a_denial_has_the_missing_statement(account: Account) -> None:
    role, queue = account.create_role("poor"), f"arn:aws:sqs:us-east-1:{ACCOUNT_ID}:queue"
    with pytest.raises(CallDeniedError) as caught:
        account.authorization.require(role, "sqs:SendMessage", queue)
    missing = json.dumps({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue})
    assert f"{role} is not authorized to perform sqs:SendMessage on {queue}" in str(caught.value)
    assert str(caught.value).endswith(f"Missing in the policies of {role}: {missing}")


def test_an_unknown_principal_is_denied(account: Account) -> None:
    with pytest.raises(CallDeniedError, match="the account has no role unknown"):
        account.authorization.require(f"arn:aws:iam::{ACCOUNT_ID}:role/unknown", "s3:ListAllMyBuckets")


def test_a_key_policy_must_allow_the_account(account: Account) -> None:
    role = account.create_role("encrypting", statement("kms:Decrypt"))
    kms = account.session.client("kms")
    lenient = kms.create_key(Policy=document(statement("kms:*", Principal={"AWS": ROOT})))["KeyMetadata"]["Arn"]
    strict = kms.create_key(Policy=document(statement("kms:Put*", Principal={"AWS": ROOT})))["KeyMetadata"]["Arn"]
    account.authorization.require(role, "kms:Decrypt", lenient)
    with pytest.raises(CallDeniedError):
        account.authorization.require(role, "kms:Decrypt", strict)


def test_a_service_needs_a_resource_policy(account: Account) -> None:
    policy = document(
        statement(
            "kms:GenerateDataKey*",
            Principal={"Service": "cloudwatch.amazonaws.com"},
            Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT_ID}},
        )
    )
    key = account.session.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    call = ("cloudwatch.amazonaws.com", "kms:GenerateDataKey", key)
    account.authorization.require(*call, context={"aws:SourceAccount": ACCOUNT_ID})
    for others, context in ((call, {}), (("events.amazonaws.com", *call[1:]), {"aws:SourceAccount": ACCOUNT_ID})):
        with pytest.raises(CallDeniedError):
            account.authorization.require(*others, context=context)


def test_the_principal_arn_of_a_session_is_its_role(account: Account) -> None:
    role = account.create_role("named")
    policy = document(
        statement("kms:Decrypt", Principal={"AWS": ROOT}, Condition={"ArnEquals": {"aws:PrincipalArn": role}})
    )
    key = account.session.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    account.session.client("iam").put_role_policy(
        RoleName="named", PolicyName="inline", PolicyDocument=document(statement("kms:Decrypt"))
    )
    account.authorization.require(role, "kms:Decrypt", key)


def test_an_encrypted_secret_needs_its_key(account: Account, emulator: EmulatorProcess) -> None:
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
    secrets = account.session_of(account.create_role("half", statement("secretsmanager:GetSecretValue"))).client(
        "secretsmanager"
    )
    assert "AccessDenied" in refusal(lambda: secrets.get_secret_value(SecretId="encrypted"))
    both = statement(["secretsmanager:GetSecretValue", "kms:Decrypt"])
    secrets = account.session_of(account.create_role("whole", both)).client("secretsmanager")
    assert secrets.get_secret_value(SecretId="encrypted")["SecretString"] == "s"


def test_a_permissions_boundary_applies(account: Account) -> None:
    iam = account.session.client("iam")
    limit = iam.create_policy(PolicyName="limit", PolicyDocument=document(statement("ecs:ListClusters")))["Policy"][
        "Arn"
    ]
    role = account.create_role("limited", statement("*"))
    iam.put_role_permissions_boundary(RoleName="limited", PermissionsBoundary=limit)
    account.authorization.require(role, "ecs:ListClusters")
    with pytest.raises(CallDeniedError):
        account.authorization.require(role, "s3:ListAllMyBuckets")


def test_equal_calls_are_logged_once_with_their_number(account: Account) -> None:
    role = account.create_role("busy", statement("ecs:ListClusters"))
    for _ in range(3):
        account.authorization.require(role, "ecs:ListClusters")
    found = [each for each in account.authorization.decisions().entries if each["principal"] == role]
    assert [(each["action"], each["count"]) for each in found] == [("ecs:ListClusters", 3)]


def test_calls_of_the_root_are_not_logged(account: Account) -> None:
    account.session.client("ecs").list_clusters()
    assert not [entry for entry in account.authorization.decisions().entries if entry["principal"] == ROOT]
