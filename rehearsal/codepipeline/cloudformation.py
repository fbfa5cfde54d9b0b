"""CloudFormation actions: create and execute change sets on the emulator.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CloudFormation.html
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.roles import ActionRoles
from rehearsal.codepipeline.run_context import ActionError, CancelledError, RunContext

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_Response = TypeVar("_Response")
_POLL_SECONDS = 0.3
_DEADLINE_SECONDS = 900.0
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True, kw_only=True)
class CloudFormationExecutor:
    """Executes the action modes that CDK Pipelines uses; every call is signed by the action's role."""

    roles: ActionRoles
    #: Uploads a template (key, body) to the artifact bucket and returns its URL, since the body of a request is limited
    #: to 51,200 bytes.
    upload: Callable[[str, str], str]
    #: Replaces the DNS names of load balancers in stack outputs by local addresses.
    localize: Callable[[Mapping[str, str]], dict[str, str]]

    def execute(self, action: Action, context: RunContext) -> Mapping[str, str]:
        """Execute the action; see `ActionExecutor.execute`."""
        configuration = context.configuration(action)
        stack = _Stack(
            name=configuration["StackName"],
            client=self.roles.action_session(action).client("cloudformation"),
            context=context,
        )
        self.roles.read_artifacts(self.roles.action_role(action), action.inputs)
        try:
            match configuration["ActionMode"]:
                case "CHANGE_SET_REPLACE":
                    stack.replace_change_set(configuration, self.upload)
                    return {}
                case "CHANGE_SET_EXECUTE":
                    stack.execute_change_set(configuration["ChangeSetName"])
                    self.roles.verify_service_calls()
                    return self.localize(stack.outputs())
                case mode:
                    raise ActionError(f"action mode {mode} is not supported by the rehearsal")
        except ClientError as error:
            raise ActionError(error.response["Error"]["Message"], log=context.log) from error


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """The stack of one action."""

    name: str
    client: "CloudFormationClient"
    context: RunContext

    def replace_change_set(self, configuration: Mapping[str, str], upload: Callable[[str, str], str]) -> None:
        change_set = configuration["ChangeSetName"]
        settings = _template_configuration(configuration, self.context)
        is_new = self._status() in (None, "REVIEW_IN_PROGRESS")
        if not is_new:
            self.client.delete_change_set(StackName=self.name, ChangeSetName=change_set)
        template = self.context.artifacts.file(configuration["TemplatePath"])
        key = f"templates/{self.context.execution_id}/{self.name}.json"
        self.client.create_change_set(
            StackName=self.name,
            ChangeSetName=change_set,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            TemplateURL=upload(key, template.read_text(encoding="utf-8")),
            Tags=[{"Key": key, "Value": value} for key, value in settings.get("Tags", {}).items()],
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            RoleARN=configuration["RoleArn"],
        )
        described = self._wait(
            lambda: self.client.describe_change_set(StackName=self.name, ChangeSetName=change_set),
            lambda response: str(response["Status"]) in ("CREATE_COMPLETE", "FAILED"),
            f"change set {change_set} of {self.name}",
        )
        if described["Status"] == "FAILED" and not _is_empty(described):
            reason = described.get("StatusReason", "no reason given")
            raise ActionError(f"change set of {self.name} failed: {reason}", log=self.context.log)
        changes = described.get("Changes", [])
        self.context.write_log(f"{self.name}: {len(changes)} changes")
        for change in changes:
            detail = change["ResourceChange"]
            self.context.write_log(f"  {detail['Action']} {detail['ResourceType']} {detail['LogicalResourceId']}")
        self.context.progress(f"{len(changes)} changes")

    def execute_change_set(self, change_set: str) -> None:
        described = self.client.describe_change_set(StackName=self.name, ChangeSetName=change_set)
        if _is_empty(described):
            self.client.delete_change_set(StackName=self.name, ChangeSetName=change_set)
            self.context.progress("no changes")
            return
        seen = self._event_ids()
        self.client.execute_change_set(StackName=self.name, ChangeSetName=change_set)
        self._wait(
            lambda: self._log_new_events(seen),
            lambda status: not str(status).endswith("IN_PROGRESS"),
            f"stack {self.name}",
        )
        status = self._status()
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise ActionError(f"stack {self.name} ended in {status}: {self._first_failure()}", log=self.context.log)

    def outputs(self) -> dict[str, str]:
        outputs = self.client.describe_stacks(StackName=self.name)["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def _log_new_events(self, seen: set[str]) -> str:
        """Log the stack events that are not in `seen`, and return the status of the stack."""
        for event in reversed(self.client.describe_stack_events(StackName=self.name)["StackEvents"]):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            line = f"{event.get('ResourceStatus', '')} {event.get('ResourceType', '')} {event['LogicalResourceId']}"
            self.context.write_log(f"{line} {event.get('ResourceStatusReason', '')}".rstrip())
            self.context.progress(line)
        return self._status() or "DELETE_COMPLETE"

    def _event_ids(self) -> set[str]:
        try:
            events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        except ClientError:
            return set()
        return {event["EventId"] for event in events}

    def _first_failure(self) -> str:
        """Return the reason of the first failed resource of this deployment; later failures are its consequences."""
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        start = next(
            (
                number
                for number, event in enumerate(events)
                if event["LogicalResourceId"] == self.name
                and event.get("ResourceStatus") in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
            ),
            len(events),
        )
        failures = [event for event in events[: start + 1] if event.get("ResourceStatus", "").endswith("_FAILED")]
        if not failures:
            return "no resource reported a failure"
        first = failures[-1]
        return f"{first['LogicalResourceId']} ({first.get('ResourceType')}): {first.get('ResourceStatusReason')}"

    def _status(self) -> str | None:
        """Return the status of the stack; None when the stack does not exist."""
        try:
            return self.client.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise

    def _wait(self, poll: Callable[[], _Response], is_done: Callable[[_Response], bool], what: str) -> _Response:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            response = poll()
            if is_done(response):
                return response
            if self.context.cancelled.wait(_POLL_SECONDS):
                raise CancelledError(f"cancelled while waiting for {what}")
            if time.monotonic() > deadline:
                raise ActionError(f"{what} was not done within {_DEADLINE_SECONDS:.0f} seconds", log=self.context.log)


def _template_configuration(configuration: Mapping[str, str], context: RunContext) -> Mapping[str, Any]:
    reference = configuration.get("TemplateConfiguration")
    if not reference:
        return {}
    settings: Mapping[str, Any] = json.loads(context.artifacts.file(reference).read_text(encoding="utf-8"))
    return settings


def _is_empty(change_set: Mapping[str, Any]) -> bool:
    return any(text in change_set.get("StatusReason", "") for text in _NO_CHANGES)
