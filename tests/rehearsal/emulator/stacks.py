"""Deploys small templates to the emulator."""

import json
import time
from collections.abc import Mapping
from typing import Any

from rehearsal.account import sessions


class StackFailedError(Exception):
    """A stack operation failed; the message lists the failed resources."""

    def __init__(self, status: str, reasons: list[str]) -> None:
        super().__init__(f"{status}: " + "; ".join(reasons))
        self.status = status


class Stacks:
    """Deploys templates with change sets, as the CDK does; as a role, or without one as the emulator's root."""

    def __init__(
        self, port: int, *, account: str = sessions.ACCOUNT_ID, region: str = sessions.REGION, role: str | None = None
    ) -> None:
        self._cloudformation = sessions.open_session(port, account=account, region=region).client("cloudformation")
        self._role: dict[str, Any] = {"RoleARN": role} if role else {}

    def deploy(
        self,
        name: str,
        resources: Mapping[str, Any],
        outputs: Mapping[str, Any] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        exports: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        """Create or update a stack and return its outputs."""
        template: dict[str, Any] = {"Resources": resources}
        declared = {key: {"Value": value} for key, value in (outputs or {}).items()}
        declared |= {key: {"Value": value, "Export": {"Name": key}} for key, value in (exports or {}).items()}
        if declared:
            template["Outputs"] = declared
        exists = self._exists(name)
        before = len(self._events(name)) if exists else 0
        change_set = self._cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=f"change-{time.monotonic_ns()}",
            ChangeSetType="UPDATE" if exists else "CREATE",
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
            **self._role,
        )["Id"]
        self._cloudformation.execute_change_set(ChangeSetName=change_set)
        status = self._wait(name)
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            failed = [e for e in self._events(name)[before:] if e["ResourceStatus"].endswith("_FAILED")]
            reasons = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed]
            raise StackFailedError(status, reasons)
        stack = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}

    def delete(self, name: str) -> None:
        """Delete a stack."""
        stack_id = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        self._cloudformation.delete_stack(StackName=name)
        status = self._wait(stack_id)
        if status != "DELETE_COMPLETE":
            raise StackFailedError(status, [])

    def status(self, name: str) -> str:
        """Return a stack's status."""
        return self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    def _wait(self, name: str) -> str:
        deadline = time.monotonic() + 60
        while (status := self.status(name)).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, f"{name} is still {status}"
            time.sleep(0.05)
        return status

    def _exists(self, name: str) -> bool:
        pages = self._cloudformation.get_paginator("list_stacks").paginate()
        stacks = [stack for page in pages for stack in page["StackSummaries"] if stack["StackName"] == name]
        return any(stack["StackStatus"] != "DELETE_COMPLETE" for stack in stacks)

    def _events(self, name: str) -> list[dict[str, Any]]:
        """Return the stack's events, oldest first."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
        return [dict(event) for page in pages for event in page["StackEvents"]][::-1]


def resource(kind: str, **properties: object) -> dict[str, Any]:
    """Return one resource of a template."""
    return {"Type": kind, "Properties": properties}


def ref(logical_id: str) -> dict[str, str]:
    """Return `Ref`."""
    return {"Ref": logical_id}


def get(logical_id: str, attribute: str) -> dict[str, list[str]]:
    """Return `Fn::GetAtt`."""
    return {"Fn::GetAtt": [logical_id, attribute]}
