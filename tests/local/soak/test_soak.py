"""A soak of the real task definitions, image, health checks and alarms.

Five minutes pass in fifteen seconds: longer than the interval of the worker's slowest loop and than any loop may run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.soak.options import Options
from local.soak.soak import Soak
from local.soak.stage import DeployedApi, find_api
from rehearsal.account.sessions import ACCOUNT_ID, root_credentials
from rehearsal.ecr.container_engine import PROGRAM_VARIABLE
from rehearsal.runner.emulated_account import EmulatedAccount
from rehearsal.runner.ports import Ports
from rehearsal.runner.workspace import Workspace
from tests.rehearsal.conftest import PROJECT, link_tools
from tests.stages.conftest import read, synthesize
from tests.stages.test_on_emulator import ORDER

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]

OPTIONS = Options(minutes=5, time_scale=20)
_BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[EmulatedAccount]:
    """An account in a folder of its own, with this checkout's tools."""
    link_tools(tmp_path)
    workspace = Workspace(checkout=tmp_path)
    workspace.empty()
    account = EmulatedAccount(
        workspace=workspace,
        ports=Ports(0),
        time_scale=OPTIONS.time_scale,
        extra_environment=OPTIONS.environment,
    )
    yield account
    account.close()


def deploy(account: EmulatedAccount) -> DeployedApi:
    """Deploy one stage as the pipeline's CloudFormation actions do, without the CDK CLI."""
    account.open(account.workspace.logs / "soak.log")
    stage = {"environment_suffix": "dev", "account": ACCOUNT_ID, "certificate_arn": account.import_certificate()}
    outdir = account.workspace.rehearsal / "assembly"
    synthesize({"Dev": stage}, outdir, validate=False)
    publish_images(account, outdir / "assembly-Dev")
    cloudformation = account.session.client("cloudformation")
    account.session.client("ssm").put_parameter(Name=_BOOTSTRAP, Value="30", Type="String")
    account.session.client("s3").create_bucket(Bucket="templates")
    templates = read(["Dev"], outdir)["Dev"].by_stack
    for name in sorted(templates, key=lambda stack: ORDER.index(stack.split("-")[1])):
        account.upload("templates", name, json.dumps(templates[name]))
        url = f"{account.session.client('s3').meta.endpoint_url}/templates/{name}"
        cloudformation.create_stack(StackName=name, TemplateURL=url, Capabilities=["CAPABILITY_NAMED_IAM"])
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    return find_api(account)


def publish_images(account: EmulatedAccount, assembly: Path) -> None:
    """Build and push the images of the stage, as asset publishing does."""
    environment = account.build_environment(root_credentials()) | {PROGRAM_VARIABLE: ""}
    for manifest in assembly.glob("*.assets.json"):
        for image in json.loads(manifest.read_text())["dockerImages"].values():
            (destination,) = image["destinations"].values()
            repository = destination["repositoryName"].replace("${AWS::AccountId}", ACCOUNT_ID)
            repository = repository.replace("${AWS::Region}", "us-east-1")
            account.session.client("ecr").create_repository(repositoryName=repository)
            reference = f"{ACCOUNT_ID}.dkr.ecr.us-east-1.amazonaws.com/{repository}:{destination['imageTag']}"
            folder = str(assembly / image["source"]["directory"])
            for words in (["build", "--tag", reference, folder], ["push", reference]):
                subprocess.run(["docker", *words], env=environment, check=True)


def test_every_promise_is_kept(account: EmulatedAccount) -> None:
    findings = Soak(account=account, options=OPTIONS, deploy=deploy).run()
    assert [finding for finding in findings if finding.kept is False] == []
    decided = {finding.promise for finding in findings if finding.kept}
    assert {
        "no task of ecs-service-api-dev is replaced",
        "no task of ecs-service-worker-dev is replaced",
        "alarm-recovery-backlog-dev is silent",
        "alarm-stuck-payments-dev is silent",
        "alarm-webhook-backlog-dev is silent",
        "every request succeeds",
        "no error is logged",
    } <= decided
    assert sum(promise.endswith("is healthy") for promise in decided) == 3, "two api tasks and a worker"
    assert sum(promise.startswith("memory of ") for promise in decided) == 3


@pytest.mark.parametrize("name", ["MINUTES", "TIME_SCALE"])
def test_invalid_options_are_refused_before_anything_starts(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.soak"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), name: "0"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, list(tmp_path.iterdir())) == (2, [])
    assert f"{name}=0: " in result.stdout
