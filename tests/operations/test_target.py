"""A command applies to the chosen installation, all of it, and never to another one."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError

from operations import destroy, unstick
from rehearsal.account import sessions
from tests.operations.conftest import PROJECT, Account, Finished, environment, pipeline
from tests.rehearsal.emulator.stacks import resource

pytestmark = pytest.mark.rehearsal

ALICE = ("-c", "environment_suffix=alice")
OWN, OTHER = sessions.ACCOUNT_ID, "222222222222"
DUBLIN, SYDNEY = "eu-west-1", "ap-southeast-2"
QUICK = ("--yes", "--settle", "0")
BUCKET = {"Bucket": resource("AWS::S3::Bucket")}

Denier = Callable[[str, str], boto3.session.Session]


def installation(account: Account, suffix: str = "", **more: Any) -> None:
    """A pipeline and its environment dev."""
    name, tail = suffix or "main", f"-{suffix}" if suffix else ""
    account.deploy(f"PipelineStack{tail}", pipeline(f"pipeline-{name}", **more), name)
    environment(account, f"dev{tail}")


def nothing_was_deleted(finished: Finished, account: Account) -> bool:
    """Whether a command left everything unchanged, and did not claim otherwise."""
    return account.missing() == "" and "everything is deleted" not in finished.stdout + finished.stderr


@pytest.fixture
def denied(account: Account, monkeypatch: pytest.MonkeyPatch) -> Denier:
    """Make AWS deny an operation in a region to commands in this process."""

    def deny(operation: str, region: str) -> boto3.session.Session:
        session = sessions.open_session(account.port)
        service, _, name = operation.partition(":")

        def refuse(**event: Any) -> None:
            if event["context"]["client_region"] == region:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "an SCP says no"}}, name)

        session.events.register(f"before-call.{service}.{name}", refuse)
        monkeypatch.setattr(boto3.session, "Session", lambda **_: session)
        monkeypatch.chdir(PROJECT)
        return session

    return deny


def test_all_regions_are_destroyed_and_other_installations_kept(account: Account) -> None:
    """A suffix, a second region, and a removed environment in a third one."""
    installation(account)
    dublin, sydney = account.elsewhere(region=DUBLIN), account.elsewhere(region=SYDNEY)
    environment(sydney, "prod")  # of the installation without suffix
    for place in (account, dublin, sydney):
        place.remember()
    given = {"environment_suffix": "alice", "environments.prod.region": DUBLIN}
    installation(account, "alice", targets=[(OWN, "us-east-1"), (OWN, DUBLIN)], overrides=given)
    dublin.deploy(f"PipelineStack-alice-{DUBLIN}", BUCKET, "alice")
    environment(dublin, "prod-alice")
    environment(sydney, "removed-alice")

    finished = account.command(*QUICK, *ALICE, "-c", f"environments.prod.region={DUBLIN}")

    assert (finished.returncode, finished.stderr) == (0, "")
    for place in (account, dublin, sydney):
        assert place.left() == ""
        assert place.missing() == ""


def test_make_passes_the_context() -> None:
    for target, module in (("destroy", "operations.destroy"), ("unstick", "operations.unstick")):
        command = ["make", "--dry-run", "--no-print-directory", target, "CONTEXT=-c environment_suffix=alice -c a=b"]
        lines = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
        assert lines[-1].endswith(f"-m {module} -c environment_suffix=alice -c a=b")


@pytest.mark.parametrize("module", ["operations.destroy", "operations.unstick"], ids=["destroy", "unstick"])
def test_without_a_choice_nothing_is_deleted(account: Account, module: str) -> None:
    installation(account, "alice")
    account.remember()

    finished = account.run(module=module)

    assert finished.returncode == 2
    assert '  alice: CONTEXT="-c environment_suffix=alice"' in finished.stderr
    assert nothing_was_deleted(finished, account)

    installation(account)
    assert '  main: CONTEXT="-c environment_suffix="' in account.run(module=module).stderr
    assert account.run("-c", "environment_suffix=", *QUICK).returncode == 0
    assert account.left() == account.missing() == ""


@pytest.mark.parametrize("module", ["operations.destroy", "operations.unstick"], ids=["destroy", "unstick"])
def test_a_missing_installation_is_not_reported_as_deleted(account: Account, module: str) -> None:
    installation(account)
    account.remember()

    finished = account.run("-c", "environment_suffix=alcie", module=module)

    assert finished.returncode == 3
    assert "no stack with the tags project=payment-pipeline, environment-suffix=alcie" in finished.stderr
    assert f"account {OWN}" in finished.stderr
    assert "Other installations in the account: main" in finished.stderr
    assert nothing_was_deleted(finished, account)


def test_a_second_run_recognizes_the_first(account: Account) -> None:
    installation(account, "alice")
    assert account.run(*ALICE, *QUICK).returncode == 0

    again = account.run(*ALICE, *QUICK)

    assert again.returncode == 0
    assert "its stacks were deleted earlier" in again.stdout
    assert account.run("-c", "environment_suffix=bob", *QUICK).returncode == 3


def test_a_second_run_recognizes_a_destroyed_environment(account: Account) -> None:
    installation(account)
    dev = ("--environment", "dev", *QUICK)
    assert [account.run(*dev).returncode for _ in range(2)] == [0, 0]
    never = account.run("--environment", "prod", *QUICK)
    assert never.returncode == 3
    assert "environment-suffix=prod" in never.stderr


#: Given context and the resulting message.
DIFFERENT = {
    "enviroment_suffix=alice": "deployed without",
    "environment-suffix=alice": "deployed without",
    f"region={DUBLIN}": "deployed with us-east-1",
    f"account={OTHER}": f"the configuration names {OTHER}",
    "repository=alice/payments": "deployed with owner/name",
    f"environments.dev.region={DUBLIN}": "deployed without",
    "environment_suffix": "must be key=value",
}


def test_a_context_that_differs_from_the_deployed_one_is_rejected(account: Account) -> None:
    installation(account, overrides={"repository": "owner/name"})
    account.remember()

    for given, message in DIFFERENT.items():
        finished = account.run(*QUICK, "-c", given)
        assert finished.returncode == 2, given
        assert message in finished.stderr
        assert nothing_was_deleted(finished, account)
    matching = ("repository=owner/name", "branch=main", f"account={OWN}", "region=us-east-1")
    assert account.run(*QUICK, *(word for pair in matching for word in ("-c", pair))).returncode == 0


def test_without_a_pipeline_the_installation_must_be_named(account: Account) -> None:
    environment(account, "prod")
    account.remember()

    finished = account.run(*QUICK, "-c", "enviroment_suffix=alice")

    assert finished.returncode == 2
    assert nothing_was_deleted(finished, account)


@pytest.mark.parametrize("command", [destroy.main, unstick.main], ids=["destroy", "unstick"])
def test_an_inaccessible_region_is_named(
    account: Account, denied: Denier, capsys: pytest.CaptureFixture[str], command: Callable[[list[str]], int]
) -> None:
    installation(account)
    account.remember()
    denied("cloudformation:DescribeStacks", SYDNEY)
    arguments = ["--poll", "0.05", *(QUICK if command is destroy.main else ())]

    assert command(arguments) == 1

    printed = capsys.readouterr()
    assert f"region {SYDNEY}: " in printed.err
    assert "an SCP says no" in printed.err
    assert "everything is deleted" not in printed.out
    assert account.missing() == ""
    assert command([*arguments, "--region", "us-east-1"]) == 0, "the regions were chosen explicitly"


def test_unknown_regions_are_an_error(account: Account) -> None:
    installation(account)
    account.remember()

    finished = account.command(*QUICK, AWS_ENDPOINT_URL_EC2="http://127.0.0.1:1", AWS_MAX_ATTEMPTS="1")

    assert finished.returncode == 1
    assert "the enabled regions of the account: " in finished.stderr
    assert nothing_was_deleted(finished, account)


def test_missing_credentials_are_an_error(account: Account) -> None:
    finished = account.command(*QUICK, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    assert finished.returncode == 1
    assert "the credentials do not work: " in finished.stderr
    assert "deleted;" not in finished.stdout


def test_a_region_that_the_pipeline_deploys_to_cannot_be_excluded(account: Account) -> None:
    installation(account, targets=[(OWN, "us-east-1"), (OWN, DUBLIN)])
    account.remember()

    finished = account.run(*QUICK, "--region", "us-east-1")

    assert finished.returncode == 1
    assert f"--region excludes regions in which the installation may have resources. Add {DUBLIN}." in finished.stderr
    assert nothing_was_deleted(finished, account)


def bootstrap_lookup_role(account: Account, *, trusted: str) -> None:
    """The role of `cdk bootstrap --trust-for-lookup`."""
    iam = account.session.client("iam")
    name = f"cdk-hnb659fds-lookup-role-{account.account}-{account.session.region_name}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{trusted}:root"}}
    reading = {"Effect": "Allow", "Action": "cloudformation:Describe*", "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [reading]})
    iam.put_role_policy(RoleName=name, PolicyName="look", PolicyDocument=policy)


def test_environments_in_other_accounts_come_before_their_pipeline(account: Account) -> None:
    installation(account, "alice", targets=[(OWN, "us-east-1"), (OTHER, DUBLIN)])
    other = account.elsewhere(account=OTHER, region=DUBLIN)
    environment(other, "prod-alice")
    environment(other, "prod")
    bootstrap_lookup_role(other, trusted=OWN)
    account.remember()

    finished = account.command(*QUICK, *ALICE)

    assert finished.returncode == 1
    assert f"  account {OTHER}  {DUBLIN}  payment-service-prod-alice" in finished.stderr
    assert "payment-service-prod\n" not in finished.stderr
    assert nothing_was_deleted(finished, account)

    there = other.run(*QUICK, *ALICE)
    assert there.returncode == 0
    assert "The pipeline is not in this account." in there.stdout
    assert other.stack_names() == {"payment-network-prod", "payment-service-prod"}

    assert account.command(*QUICK, *ALICE).returncode == 0
    assert account.stack_names() == {"CDKToolkit"}


def test_an_inaccessible_account_is_named(account: Account, denied: Denier, capsys: pytest.CaptureFixture[str]) -> None:
    installation(account, targets=[(OTHER, DUBLIN)])
    account.remember()
    denied("sts:AssumeRole", "us-east-1")
    arguments = [*QUICK, "--poll", "0.05"]

    assert destroy.main(arguments) == 1

    stderr = capsys.readouterr().err
    assert f"account {OTHER}, region {DUBLIN}: " in stderr
    assert "an SCP says no" in stderr
    assert account.missing() == ""
    assert destroy.main([*arguments, "--without-account", OTHER]) == 0


def test_a_failed_request_is_no_success(account: Account, denied: Denier, capsys: pytest.CaptureFixture[str]) -> None:
    installation(account)
    denied("ecs:DeleteTaskDefinitions", "us-east-1")

    assert destroy.main([*QUICK, "--poll", "0.05"]) == 1

    printed = capsys.readouterr()
    assert "An AWS request failed, so something may be left" in printed.err
    assert "everything is deleted" not in printed.out


def test_a_suffix_in_cdk_json_is_a_choice(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, denied: Denier
) -> None:
    installation(account)
    installation(account, "alice")
    denied("nothing:Nothing", "")
    (tmp_path / "cdk.json").write_text('{"context": {"environment_suffix": "alice"}}')
    monkeypatch.chdir(tmp_path)

    assert destroy.main([*QUICK, "--poll", "0.05"]) == 0

    assert account.stack_names() == {"CDKToolkit", "PipelineStack", "payment-network-dev", "payment-service-dev"}
