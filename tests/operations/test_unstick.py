"""After a failed first deployment: stuck stacks are deleted, healthy ones kept, and the printed commands work."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3.session
import botocore.validate
import pytest
from botocore.stub import Stubber

from operations.deployed_pipeline import DeployedPipeline
from operations.installation import PIPELINE_TYPE, Installation, Resource, Stack
from operations.target import Target
from operations.unstick import next_steps
from tests.operations.conftest import PROJECT, Account, environment, pipeline
from tests.rehearsal.emulator.stacks import StackFailedError, resource

EXECUTION = "01234567-89ab-4cde-8f01-23456789abcd"


def parameters(command: str) -> tuple[str, dict[str, str]]:
    """Operation and parameters of an `aws codepipeline ...` command, as the AWS CLI reads them."""
    program, service, operation, *words = shlex.split(command)
    assert (program, service) == ("aws", "codepipeline")
    options = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    assert options.pop("region") == "us-east-1"
    camel = {name.title().replace("-", ""): value for name, value in options.items()}
    return operation.title().replace("-", ""), {name[0].lower() + name[1:]: value for name, value in camel.items()}


def check(command: str) -> tuple[str, dict[str, str]]:
    """Validate a command against the service model."""
    operation, given = parameters(command)
    model = boto3.session.Session(region_name="us-east-1").client("codepipeline").meta.service_model
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    report = botocore.validate.ParamValidator().validate(given, shape)
    assert not report.has_errors(), report.generate_report()
    modes = model.shape_for("StageRetryMode").metadata["enum"]
    assert given.get("retryMode", modes[0]) in modes
    return operation, given


def stack(name: str, **changes: Any) -> Stack:
    values: dict[str, Any] = {
        "id": name,
        "name": name,
        "region": "us-east-1",
        "status": "CREATE_COMPLETE",
        "created": datetime(2026, 1, 1, tzinfo=UTC),
        "tags": {},
        "exports": frozenset(),
        "imports": frozenset(),
        "template": {},
        "resources": (),
    }
    return Stack(**{**values, **changes})


STUCK = stack("payment-network-dev", status="ROLLBACK_COMPLETE")
HEALTHY = stack("PipelineStack", resources=(Resource(type=PIPELINE_TYPE, id="pipeline-main"),))


def target(*stacks: Stack) -> Target:
    pipeline = DeployedPipeline(account="111111111111", region="us-east-1", targets=frozenset(), overrides={})
    return Target(
        installation=Installation(),
        account="111111111111",
        regions=["us-east-1"],
        environment=None,
        stacks=stacks,
        pipeline=pipeline,
    )


def steps(monkeypatch: pytest.MonkeyPatch, status: str) -> list[str]:
    """What is printed when the stage Dev of the pipeline is in this state."""
    session = boto3.session.Session(region_name="us-east-1", aws_access_key_id="1", aws_secret_access_key="1")
    codepipeline = session.client("codepipeline")
    monkeypatch.setattr(session, "client", lambda *_, **__: codepipeline)
    latest = {"pipelineExecutionId": EXECUTION, "status": status}
    response = {"stageStates": [{"stageName": "Source"}, {"stageName": "Dev", "latestExecution": latest}]}
    with Stubber(codepipeline) as stub:
        stub.add_response("get_pipeline_state", response, {"name": "pipeline-main"})
        return list(next_steps(session, target(STUCK, HEALTHY), [STUCK]))


def test_a_failed_stage_is_retried_with_all_its_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    _, retry, _, release = steps(monkeypatch, "Failed")

    assert check(retry) == (
        "RetryStageExecution",
        {
            "pipelineName": "pipeline-main",
            "stageName": "Dev",
            "pipelineExecutionId": EXECUTION,
            "retryMode": "ALL_ACTIONS",
        },
    )
    assert check(release) == ("StartPipelineExecution", {"name": "pipeline-main"})


def test_a_stage_that_did_not_fail_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    first, release = steps(monkeypatch, "Succeeded")

    assert "release again" in first
    assert check(release)[0] == "StartPipelineExecution"


def test_without_a_pipeline_it_explains_how_to_continue() -> None:
    session = boto3.session.Session(region_name="us-east-1")
    for stacks in ([STUCK], [STUCK, HEALTHY]):
        text = " ".join(next_steps(session, target(*stacks), stacks))
        assert "make deploy" in text
        assert "all actions" in text


def test_nothing_recommends_retrying_failed_actions_only() -> None:
    folders = ("docs", "kit", "operations", "pipeline", "stages", "rehearsal")
    files = [PROJECT / "README.md", *(file for folder in folders for file in (PROJECT / folder).rglob("*.[mp][dy]"))]
    assert PROJECT / "docs" / "operations.md" in files
    assert [str(file) for file in files if "FAILED_ACTIONS" in Path(file).read_text(encoding="utf-8")] == []


def test_the_runbook_retries_with_all_actions() -> None:
    text = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.split("## A first deployment that failed\n")[1].split("\n## ")[0]
    commands = [line.strip() for line in section.splitlines() if line.startswith("    aws ")]

    operations = dict(check(command.replace("EXECUTION", EXECUTION)) for command in commands)
    assert operations["RetryStageExecution"]["retryMode"] == "ALL_ACTIONS"
    assert "StartPipelineExecution" in operations


@pytest.mark.rehearsal
def test_stuck_stacks_are_deleted_and_healthy_ones_kept(account: Account) -> None:
    account.deploy("PipelineStack", pipeline("pipeline-main"), "main")
    environment(account, "dev")
    with pytest.raises(StackFailedError):
        account.deploy("payment-monitoring-dev", {"Nat": resource("AWS::EC2::NatGateway", SubnetId="subnet-0")}, "dev")
    assert account.status("payment-monitoring-dev") == "ROLLBACK_COMPLETE"

    finished = account.run(module="operations.unstick")

    assert finished.returncode == 0
    assert "deleted payment-monitoring-dev" in finished.stdout
    assert "aws codepipeline start-pipeline-execution --region us-east-1 --name pipeline-main" in finished.stdout
    assert account.stack_names() == {"CDKToolkit", "PipelineStack", "payment-network-dev", "payment-service-dev"}
    assert "no stack of installation main is stuck" in account.run(module="operations.unstick").stdout
