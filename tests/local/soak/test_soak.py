"""A deployed stage may be left alone: the real task definitions, image, health checks and alarms, in a hurry.

Five minutes pass in fifteen seconds: longer than the worker's slowest loop waits, and longer than any loop may run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.soak.options import Options
from local.soak.soak import Soak
from local.soak.stage import Deployed, find
from rehearsal.account.sessions import ACCOUNT_ID, root
from rehearsal.ecr.container_engine import PROGRAM_VARIABLE
from rehearsal.runner.emulated_account import Account
from rehearsal.runner.ports import Ports
from rehearsal.runner.workspace import Workspace
from tests.rehearsal.conftest import PROJECT
from tests.stages.conftest import read, synthesize
from tests.stages.test_on_emulator import ORDER

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]

OPTIONS = Options(minutes=5, time_scale=20)
_BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """An account in a folder of its own, with this checkout's tools."""
    for tools in (".venv", "node_modules"):
        (tmp_path / tools).symlink_to(PROJECT / tools)
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run" / "cache").symlink_to(PROJECT / ".run" / "cache")
    workspace = Workspace(checkout=tmp_path)
    workspace.empty()
    account = Account(workspace=workspace, ports=Ports(0), time_scale=OPTIONS.time_scale)
    yield account
    account.close()


def deploy(account: Account) -> Deployed:
    """Deploy one stage as the pipeline's CloudFormation actions do, without the CDK CLI around it."""
    account.open(account.workspace.logs / "soak.log")
    stage = {"environment_suffix": "dev", "account": ACCOUNT_ID, "certificate_arn": account.import_certificate()}
    outdir = account.workspace.rehearsal / "assembly"
    synthesize({"Dev": stage}, outdir)
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
    return find(account)


def publish_images(account: Account, assembly: Path) -> None:
    """Build and push what the stage's stacks name, as asset publishing does."""
    environment = account.build_environment(root()) | {PROGRAM_VARIABLE: ""}
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


def test_a_stage_that_is_left_alone_and_lightly_used_stays_as_it_is(account: Account) -> None:
    findings = Soak(account=account, options=OPTIONS, deploy=deploy).run()
    assert [finding for finding in findings if finding.kept is False] == []
    decided = {finding.promise for finding in findings if finding.kept}
    assert {
        "no task of ecs-service-api-dev is replaced",
        "no task of ecs-service-worker-dev is replaced",
        "alarm-recovery-backlog-dev is silent",
        "alarm-stuck-payments-dev is silent",
        "alarm-webhook-backlog-dev is silent",
        "every request is answered well",
        "no error is logged",
    } <= decided
    assert sum(promise.endswith("is healthy") for promise in decided) == 3, "two api tasks and a worker"
    assert sum(promise.startswith("memory of ") for promise in decided) == 3


@pytest.mark.parametrize("variables", [{"MINUTES": "none"}, {"TIME_SCALE": "0"}])
def test_wrong_use_is_told_before_anything_starts(tmp_path: Path, variables: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "local.soak"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **variables}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "must be a number from" in result.stdout
