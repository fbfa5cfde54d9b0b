"""An emulated account, empty for each test and bootstrapped as far as `destroy` requires."""

import functools
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from operations.destroy import Timing
from rehearsal.account import sessions
from rehearsal.account.inventory import describe, difference, take_inventory
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.stacks import Stacks, ref, resource

Finished = subprocess.CompletedProcess[str]

PROJECT = Path(__file__).parents[2]
REGION = "us-east-1"
TIMING = Timing(poll_seconds=0.05, settle_seconds=0.3)
BUCKET, REPOSITORY = "cdk-hnb659fds-assets-000000000000-us-east-1", "cdk-hnb659fds-container-assets"


#: Sessions of the emulator's port, account and region; a session makes each of its clients once.
session = functools.cache(sessions.open_session)


@dataclass
class Account:
    """An account with the bootstrap stack."""

    session: boto3.session.Session
    stacks: Stacks
    records: Path
    reported: list[str] = field(default_factory=list)
    baseline: Mapping[str, frozenset[str]] = field(default_factory=dict)
    account: str = sessions.ACCOUNT_ID

    def remember(self) -> None:
        """Record what the account contains now, and what `destroy` must therefore keep."""
        self.baseline = take_inventory(self.session, records=self.records)

    def left(self) -> str:
        """Return what the account contains beyond that."""
        return describe(difference(self.baseline, take_inventory(self.session, records=self.records)))

    def missing(self) -> str:
        """Return what the account no longer contains of that."""
        return describe(difference(take_inventory(self.session, records=self.records), self.baseline))

    def deploy(self, name: str, resources: Mapping[str, Any], suffix: str, **more: Any) -> dict[str, str]:
        """Deploy a stack with the project's tags."""
        tags = {"project": "payment-pipeline", "environment-suffix": suffix}
        return self.stacks.deploy(name, resources, tags=tags, **more)

    def upload(self, key: str, content: Mapping[str, Any]) -> None:
        """Put an asset into the bootstrap bucket."""
        self.session.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content).encode())

    def assets(self) -> set[str]:
        """Return the keys in the bootstrap bucket."""
        listed = self.session.client("s3").list_objects_v2(Bucket=BUCKET)
        return {one["Key"] for one in listed.get("Contents", ())}

    def status(self, name: str) -> str:
        """Return a stack's status."""
        return self.stacks.status(name)

    @property
    def port(self) -> int:
        """The emulator's."""
        return int(self.session.client("sts").meta.endpoint_url.rsplit(":", 1)[1])

    def elsewhere(self, *, region: str = REGION, account: str = sessions.ACCOUNT_ID) -> "Account":
        """The same emulator in another region or account."""
        return Account(
            session=session(self.port, account=account, region=region),
            stacks=Stacks(self.port, account=account, region=region),
            records=self.records,
            account=account,
        )

    def stack_names(self) -> set[str]:
        """Return the names of all stacks in the region."""
        return {one["StackName"] for one in self.session.client("cloudformation").describe_stacks()["Stacks"]}

    def shell(self) -> dict[str, str]:
        """Return the environment variables of a shell in this account."""
        home = self.records.parent / "home"
        return sessions.subprocess_environment(
            self.port, home=home, account=self.account, base={"PATH": os.environ["PATH"]}
        )

    def run(self, *arguments: str, module: str = "operations.destroy") -> Finished:
        """Run a command in this account, from the checkout, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(boto3.session, "Session", lambda **_: self.session)
            patch.chdir(PROJECT)
            status = importlib.import_module(module).main([*arguments, "--poll", "0.05"])
        return Finished(arguments, status, out.getvalue(), err.getvalue())

    def command(self, *arguments: str, **variables: str) -> Finished:
        """Run `make destroy` in this account, from the checkout, in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "operations.destroy", *arguments, "--poll", "0.05"],
            cwd=PROJECT,
            env=self.shell() | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def pipeline(
    name: str, *, targets: Iterable[tuple[str, str]] = (), overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A pipeline that deploys to these accounts and regions, with its synth project if there are overrides."""

    def stage(stage_name: str, provider: str, **more: str) -> dict[str, Any]:
        type_id = {"Category": "Source", "Owner": "AWS", "Provider": provider, "Version": "1"}
        return {"Name": stage_name, "Actions": [{"Name": stage_name, "ActionTypeId": type_id, **more}]}

    stages = [stage("Source", "CodeStarSourceConnection"), stage("Approve", "Manual")]
    for number, (account, region) in enumerate(targets):
        role = f"arn:aws:iam::{account}:role/cdk-hnb659fds-deploy-role-{account}-{region}"
        stages.append(stage(f"Deploy{number}", "CloudFormation", RoleArn=role, Region=region))
    resources = {
        "Pipeline": resource("AWS::CodePipeline::Pipeline", Name=name, RoleArn="arn:aws:iam::0:role/p", Stages=stages)
    }
    if overrides is not None:
        resources["Synth"] = build_project(f"{name}-synth", CONTEXT_OVERRIDES=json.dumps(overrides))
    return resources


def build_project(name: str, **variables: str) -> dict[str, Any]:
    """A CodeBuild project."""
    return resource(
        "AWS::CodeBuild::Project",
        Name=name,
        ServiceRole="arn:aws:iam::000000000000:role/build",
        Source={"Type": "NO_SOURCE", "BuildSpec": "version: 0.2"},
        Artifacts={"Type": "NO_ARTIFACTS"},
        Environment={
            "Type": "LINUX_CONTAINER",
            "ComputeType": "BUILD_GENERAL1_SMALL",
            "Image": "aws/codebuild/standard:7.0",
            "EnvironmentVariables": [
                {"Name": key, "Type": "PLAINTEXT", "Value": value} for key, value in variables.items()
            ],
        },
    )


def environment(account: Account, suffix: str) -> None:
    """Two stacks of an environment, the second of which imports from the first."""
    export = f"group-{suffix}"
    group = resource("AWS::Logs::LogGroup", LogGroupName=f"api-logs-{suffix}")
    account.deploy(f"payment-network-{suffix}", {"Group": group}, suffix, exports={export: ref("Group")})
    task = resource(
        "AWS::ECS::TaskDefinition",
        Family=f"ecs-task-api-{suffix}",
        ContainerDefinitions=[
            {"Name": "api", "Image": "image", "Environment": [{"Name": "G", "Value": {"Fn::ImportValue": export}}]}
        ],
    )
    account.deploy(f"payment-service-{suffix}", {"Task": task}, suffix)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield process


@pytest.fixture(scope="session")
def bootstrapped() -> dict[str, frozenset[str]]:
    """What an account contains that has the bootstrap only, once somebody has looked: the same after every reset."""
    return {}


@pytest.fixture
def account(emulator: EmulatorProcess, bootstrapped: dict[str, frozenset[str]]) -> Account:
    """Return an account that contains the bootstrap only."""
    urllib.request.urlopen(f"{emulator.url}/_ministack/reset", data=b"").close()
    records = emulator.data / "records"
    shutil.rmtree(records, ignore_errors=True)
    stacks = Stacks(emulator.port)
    bucket = resource("AWS::S3::Bucket", BucketName=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    repository = resource("AWS::ECR::Repository", RepositoryName=REPOSITORY)
    outputs = {"BucketName": ref("Bucket"), "ImageRepositoryName": ref("Repository")}
    stacks.deploy("CDKToolkit", {"Bucket": bucket, "Repository": repository}, outputs)
    account = Account(session=session(emulator.port), stacks=stacks, records=records)
    if not bootstrapped:
        account.remember()
        bootstrapped.update(account.baseline)
    account.baseline = bootstrapped
    return account
