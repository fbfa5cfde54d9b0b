"""The pipeline's functions: which messages people get, and which they do not."""

import importlib
import json
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.notifications import FUNCTIONS, HANDLERS

EXECUTION = "11111111-2222"


class CodePipeline:
    """One execution, as CodePipeline describes it."""

    def __init__(self, actions: list[dict[str, Any]], revisions: list[dict[str, Any]], kind: str = "STANDARD") -> None:
        self.actions = actions
        self.revisions = revisions
        self.kind = kind

    def get_pipeline_execution(self, **request: object) -> object:
        assert request == {"pipelineName": "pipeline-main", "pipelineExecutionId": EXECUTION}
        return {"pipelineExecution": {"artifactRevisions": self.revisions, "executionType": self.kind}}

    def get_paginator(self, name: str) -> Any:
        assert name == "list_action_executions"
        return SimpleNamespace(paginate=lambda **_: [{"actionExecutionDetails": self.actions}])


class Topic:
    """Records what was published."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, str]] = []

    def publish(self, **message: str) -> None:
        self.messages.append(message)


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, topic: Topic) -> Callable[..., ModuleType]:
    """Load a function's module with its environment, and with clients in place of AWS."""

    def load(kind: str, environment: Mapping[str, str], **clients: Any) -> ModuleType:
        for name, value in {"TOPIC": "topic-arn", **environment}.items():
            monkeypatch.setenv(name, value)
        table = {"sns": topic, **clients}
        monkeypatch.setattr(boto3, "client", lambda service, **_: table[service])
        return importlib.reload(importlib.import_module(f"pipeline.handlers.{kind}"))

    return load


REVISION = {
    "revisionId": "0123456789abcdef",
    "revisionSummary": json.dumps({"ProviderType": "GitHub", "CommitMessage": "Charge once\n\nReally."}),
    "revisionUrl": "https://code.example/commit/0123",
}


def event(state: str, **detail: str) -> dict[str, Any]:
    return {"region": "us-east-1", "detail": {"execution-id": EXECUTION, "state": state, **detail}}


def notify(load: Callable[..., ModuleType], pipeline: CodePipeline, what: dict[str, Any]) -> None:
    load("notify", {"PIPELINE": "pipeline-main"}, codepipeline=pipeline).handler(what, None)


def test_a_failure_names_stage_cause_commit_and_links(load: Callable[..., ModuleType], topic: Topic) -> None:
    failed = {
        "stageName": "Dev",
        "actionName": "SmokeDev",
        "status": "Failed",
        "output": {
            "executionResult": {
                "externalExecutionUrl": "https://build.example/1",
                "errorDetails": {"message": "Build terminated with state: FAILED"},
            }
        },
    }
    notify(load, CodePipeline([failed, {**failed, "status": "Succeeded"}], [REVISION]), event("FAILED"))
    (message,) = topic.messages
    assert message["TopicArn"] == "topic-arn"
    assert message["Subject"] == "pipeline-main failed"
    assert message["Message"].splitlines() == [
        "pipeline-main failed",
        "",
        "Failed: Dev / SmokeDev",
        "Build terminated with state: FAILED",
        "https://build.example/1",
        "Commit 0123456789ab: Charge once",
        "https://code.example/commit/0123",
        f"https://us-east-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/pipeline-main/executions/{EXECUTION}/timeline",
    ]


def test_a_success_is_short(load: Callable[..., ModuleType], topic: Topic) -> None:
    notify(load, CodePipeline([], [{"revisionId": "abc", "revisionSummary": "plain text"}]), event("SUCCEEDED"))
    (message,) = topic.messages
    assert message["Subject"] == "pipeline-main succeeded"
    assert "Commit abc: plain text" in message["Message"]


def test_a_rollback_is_not_reported_as_a_release(load: Callable[..., ModuleType], topic: Topic) -> None:
    notify(load, CodePipeline([], [REVISION], kind="ROLLBACK"), event("SUCCEEDED"))
    assert topic.messages[0]["Subject"] == "pipeline-main rollback succeeded"


def test_a_failure_without_details_is_reported(load: Callable[..., ModuleType], topic: Topic) -> None:
    notify(load, CodePipeline([{"stageName": "Prod", "actionName": "Deploy", "status": "Failed"}], []), event("FAILED"))
    assert "Failed: Prod / Deploy" in topic.messages[0]["Message"]


def test_an_approval_shows_the_text_of_the_approval(load: Callable[..., ModuleType], topic: Topic) -> None:
    configuration = {
        "resolvedConfiguration": {"CustomData": "prod: 1 replaced", "ExternalEntityLink": "https://report.example"}
    }
    waiting = {"stageName": "ApproveProd", "actionName": "ApproveProd", "status": "InProgress", "input": configuration}
    notify(load, CodePipeline([waiting], [REVISION]), event("STARTED", action="ApproveProd", stage="ApproveProd"))
    (message,) = topic.messages
    assert message["Subject"] == "pipeline-main waits for approval: ApproveProd"
    assert "prod: 1 replaced\nhttps://report.example" in message["Message"]


class CloudFormation:
    """Stacks with drift, or for which drift detection fails."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, stacks: Mapping[str, Any]) -> None:
        self.stacks = stacks
        self.status_checks = 0

    def detect_stack_drift(self, **request: str) -> object:
        if self.stacks[request["StackName"]] == "missing":
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DetectStackDrift")
        return {"StackDriftDetectionId": request["StackName"]}

    def describe_stack_drift_detection_status(self, **request: str) -> object:
        self.status_checks += 1
        found = self.stacks[request["StackDriftDetectionId"]]
        if found == "slow" or self.status_checks == 1:
            return {"DetectionStatus": "DETECTION_IN_PROGRESS"}
        if found == "failed":
            return {"DetectionStatus": "DETECTION_FAILED", "DetectionStatusReason": "access denied"}
        return {"DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "DRIFTED" if found else "IN_SYNC"}

    def describe_stack_resource_drifts(self, **request: Any) -> object:
        return {"StackResourceDrifts": self.stacks[request["StackName"]]}


class Sts:
    """Returns credentials of the lookup role."""

    def assume_role(self, **request: str) -> object:
        assert request["RoleArn"] == "lookup"
        return {"Credentials": {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}}


def check(load: Callable[..., ModuleType], stacks: Mapping[str, Any], seconds: float = 60) -> None:
    places = [{"role": "lookup", "region": "us-east-1", "stacks": list(stacks)}]
    environment = {"STACKS": json.dumps(places), "NAME": "pipeline-main"}
    drift = load("drift", environment, cloudformation=CloudFormation(stacks), sts=Sts())
    drift.POLL_SECONDS = 0.0  # type: ignore[attr-defined]  # a module loaded by name
    drift.handler({}, SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000))


def test_without_drift_nothing_is_published(load: Callable[..., ModuleType], topic: Topic) -> None:
    check(load, {"payment-network-dev": []})
    assert topic.messages == []


def test_drift_is_reported_with_its_properties(load: Callable[..., ModuleType], topic: Topic) -> None:
    group = {
        "ResourceType": "AWS::EC2::SecurityGroup",
        "LogicalResourceId": "Api",
        "StackResourceDriftStatus": "MODIFIED",
        "PropertyDifferences": [{"PropertyPath": "/SecurityGroupIngress/0"}],
    }
    check(load, {"payment-network-dev": [group], "payment-service-dev": []})
    (message,) = topic.messages
    assert message["Subject"] == "Drift: pipeline-main"
    assert message["Message"].splitlines()[2:] == [
        "payment-network-dev: AWS::EC2::SecurityGroup Api modified",
        "  /SecurityGroupIngress/0",
    ]


@pytest.mark.parametrize(
    ("found", "reason"),
    [("missing", "does not exist"), ("failed", "access denied"), ("slow", "DETECTION_IN_PROGRESS")],
    ids=["missing", "failed", "slow"],
)
def test_a_stack_that_cannot_be_checked_is_reported(
    load: Callable[..., ModuleType], topic: Topic, found: str, reason: str
) -> None:
    check(load, {"payment-network-dev": found}, seconds=30.05)
    assert "payment-network-dev: not checked" in topic.messages[0]["Message"]
    assert reason in topic.messages[0]["Message"]


def test_every_handler_has_a_function() -> None:
    assert {f"pipeline-{path.stem}" for path in HANDLERS.glob("*.py")} - {"pipeline-__init__"} == set(FUNCTIONS)
