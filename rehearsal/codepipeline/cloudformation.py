"""CloudFormation actions: change sets prepared and executed on the emulator.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CloudFormation.html
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from rehearsal.codepipeline.actions import ActionError, CancelledError, Surroundings
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.roles import ActionRoles

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_Answer = TypeVar("_Answer")
_POLL_SECONDS = 0.3
_DEADLINE_SECONDS = 900.0
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True, kw_only=True)
class CloudFormation:
    """Runs the action modes that CDK Pipelines uses.

    Every call is signed by the action's role. `localize` turns what stack outputs say into what is true on this
    machine (load balancer names into local addresses). `upload` puts a template into the artifact bucket, where
    CodePipeline's artifact would be, and answers its URL: a request's own body may hold 51,200 bytes only.
    """

    roles: ActionRoles
    upload: Callable[[str, str], str]
    localize: Callable[[Mapping[str, str]], dict[str, str]]

    def run(self, action: Action, around: Surroundings) -> Mapping[str, str]:
        """Run the action; see `Provider.run`."""
        configuration = around.configuration(action)
        client = self.roles.action_session(action).client("cloudformation")
        run = _Run(client=client, upload=self.upload, localize=self.localize)
        self.roles.read_artifacts(self.roles.performer(action), action.inputs)
        mode = configuration["ActionMode"]
        try:
            match mode:
                case "CHANGE_SET_REPLACE":
                    run.prepare(configuration, around)
                    return {}
                case "CHANGE_SET_EXECUTE":
                    run.execute(configuration, around)
                    self.roles.verify_deliveries()
                    return run.outputs(configuration["StackName"])
                case _:
                    msg = f"the rehearsal does not know the action mode {mode}"
                    raise ActionError(msg)
        except ClientError as error:
            raise ActionError(error.response["Error"]["Message"], log=around.log) from error


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One action's calls."""

    client: "CloudFormationClient"
    upload: Callable[[str, str], str]
    localize: Callable[[Mapping[str, str]], dict[str, str]]

    def prepare(self, configuration: Mapping[str, str], around: Surroundings) -> None:
        stack, change_set = configuration["StackName"], configuration["ChangeSetName"]
        settings = _settings(configuration, around)
        status = self._status(stack)
        if status not in (None, "REVIEW_IN_PROGRESS"):
            self.client.delete_change_set(StackName=stack, ChangeSetName=change_set)
        template = around.artifacts.file(configuration["TemplatePath"])
        parameters = dict(settings.get("Parameters", {})) | json.loads(configuration.get("ParameterOverrides", "{}"))
        self.client.create_change_set(
            StackName=stack,
            ChangeSetName=change_set,
            ChangeSetType="CREATE" if status in (None, "REVIEW_IN_PROGRESS") else "UPDATE",
            TemplateURL=self.upload(f"templates/{around.execution_id}/{stack}.json", template.read_text("utf-8")),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Tags=[{"Key": key, "Value": value} for key, value in settings.get("Tags", {}).items()],
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            RoleARN=configuration["RoleArn"],
        )
        described = self._wait(
            lambda: self.client.describe_change_set(StackName=stack, ChangeSetName=change_set),
            lambda answer: str(answer["Status"]) in ("CREATE_COMPLETE", "FAILED"),
            f"change set {change_set} of {stack}",
            around,
        )
        if described["Status"] == "FAILED" and not _is_empty(described):
            msg = f"change set of {stack} was refused: {described.get('StatusReason', 'no reason given')}"
            raise ActionError(msg, log=around.log)
        changes = described.get("Changes", [])
        _write(around, f"{stack}: {len(changes)} changes")
        for change in changes:
            detail = change["ResourceChange"]
            _write(around, f"  {detail['Action']} {detail['ResourceType']} {detail['LogicalResourceId']}")
        around.progress(f"{len(changes)} changes")

    def execute(self, configuration: Mapping[str, str], around: Surroundings) -> None:
        stack, change_set = configuration["StackName"], configuration["ChangeSetName"]
        described = self.client.describe_change_set(StackName=stack, ChangeSetName=change_set)
        if _is_empty(described):
            self.client.delete_change_set(StackName=stack, ChangeSetName=change_set)
            around.progress("nothing to change")
            return
        seen = self._event_ids(stack)
        self.client.execute_change_set(StackName=stack, ChangeSetName=change_set)
        self._wait(
            lambda: self._follow(stack, seen, around),
            lambda status: not str(status).endswith("IN_PROGRESS"),
            f"stack {stack}",
            around,
        )
        status = self._status(stack)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            msg = f"stack {stack} ended in {status}: {self._first_failure(stack)}"
            raise ActionError(msg, log=around.log)

    def _follow(self, stack: str, seen: set[str], around: Surroundings) -> str:
        """Write new stack events to the log and answer the stack's status."""
        for event in reversed(self.client.describe_stack_events(StackName=stack)["StackEvents"]):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            line = f"{event.get('ResourceStatus', '')} {event.get('ResourceType', '')} {event['LogicalResourceId']}"
            _write(around, f"{line} {event.get('ResourceStatusReason', '')}".rstrip())
            around.progress(line)
        return self._status(stack) or "DELETE_COMPLETE"

    def _event_ids(self, stack: str) -> set[str]:
        try:
            return {event["EventId"] for event in self.client.describe_stack_events(StackName=stack)["StackEvents"]}
        except ClientError:
            return set()

    def _first_failure(self, stack: str) -> str:
        """The reason of the resource that failed first in this deployment; later ones only follow from it."""
        events = self.client.describe_stack_events(StackName=stack)["StackEvents"]
        start = next(
            (
                number
                for number, event in enumerate(events)
                if event["LogicalResourceId"] == stack
                and event.get("ResourceStatus") in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
            ),
            len(events),
        )
        failures = [event for event in events[: start + 1] if event.get("ResourceStatus", "").endswith("_FAILED")]
        if not failures:
            return "no resource reported a failure"
        first = failures[-1]
        return f"{first['LogicalResourceId']} ({first.get('ResourceType')}): {first.get('ResourceStatusReason')}"

    def _status(self, stack: str) -> str | None:
        """The stack's status; None when there is no such stack."""
        try:
            return self.client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise

    def outputs(self, stack: str) -> dict[str, str]:
        outputs = self.client.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        return self.localize({output["OutputKey"]: output["OutputValue"] for output in outputs})

    @staticmethod
    def _wait(ask: Callable[[], _Answer], done: Callable[[_Answer], bool], what: str, around: Surroundings) -> _Answer:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            answer = ask()
            if done(answer):
                return answer
            if around.cancelled.wait(_POLL_SECONDS):
                msg = f"stopped while waiting for {what}"
                raise CancelledError(msg)
            if time.monotonic() > deadline:
                msg = f"{what} did not settle within {_DEADLINE_SECONDS:.0f} seconds"
                raise ActionError(msg, log=around.log)


def _settings(configuration: Mapping[str, str], around: Surroundings) -> Mapping[str, Any]:
    reference = configuration.get("TemplateConfiguration")
    if not reference:
        return {}
    settings: Mapping[str, Any] = json.loads(around.artifacts.file(reference).read_text(encoding="utf-8"))
    return settings


def _is_empty(change_set: Mapping[str, Any]) -> bool:
    return any(text in change_set.get("StatusReason", "") for text in _NO_CHANGES)


def _write(around: Surroundings, line: str) -> None:
    with around.log.open("a", encoding="utf-8") as log:
        log.write(line + "\n")
