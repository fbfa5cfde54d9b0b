"""Tells people what became of an execution of the pipeline: what, where, which commit, and where to look.

Called by EventBridge for executions that failed or succeeded and for approvals that wait. Cancelled and superseded
executions are not failures: the rules do not match them.
"""

import contextlib
import json
import os
from typing import Any

import boto3

PIPELINE, TOPIC = os.environ["PIPELINE"], os.environ["TOPIC"]


def subject(summary: str) -> str:
    """First line of a commit's message; CodeConnections wraps the message into JSON."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        summary = json.loads(summary)["CommitMessage"]
    return summary.partition("\n")[0]


def commit_of(found: dict[str, Any]) -> list[str]:
    """The commit of an execution, as lines."""
    lines = []
    for one in found.get("artifactRevisions", []):
        lines += [f"Commit {one.get('revisionId', '?')[:12]}: {subject(one.get('revisionSummary', ''))}"]
        lines += [one["revisionUrl"]] if one.get("revisionUrl") else []
    return lines


def actions_of(client: Any, execution: str, status: str) -> list[dict[str, Any]]:
    """Actions of an execution in a state, newest first."""
    pages = client.get_paginator("list_action_executions").paginate(
        pipelineName=PIPELINE, filter={"pipelineExecutionId": execution}
    )
    found = [one for page in pages for one in page["actionExecutionDetails"]]
    return [one for one in found if one["status"] == status]


def failure(one: dict[str, Any]) -> list[str]:
    """What an action failed on, as lines."""
    result = one.get("output", {}).get("executionResult", {})
    lines = [
        f"Failed: {one['stageName']} / {one['actionName']}",
        result.get("errorDetails", {}).get("message", "") or result.get("externalExecutionSummary", ""),
        result.get("externalExecutionUrl", ""),
    ]
    return [line for line in lines if line]


def request(one: dict[str, Any]) -> list[str]:
    """What an approver is asked, as lines."""
    asked = one.get("input", {}).get("resolvedConfiguration", {})
    lines = [asked.get("CustomData", ""), asked.get("ExternalEntityLink", "")]
    return [line for line in lines if line]


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - Lambda's signature
    """Publish the message of one event."""
    client, detail = boto3.client("codepipeline"), event["detail"]
    execution, state = detail["execution-id"], detail["state"]
    found = client.get_pipeline_execution(pipelineName=PIPELINE, pipelineExecutionId=execution)["pipelineExecution"]
    lines = []
    if "action" in detail:
        what = f"waits for approval: {detail['stage']}"
        lines = [line for one in actions_of(client, execution, "InProgress") for line in request(one)]
    else:
        what = ("rollback " if found.get("executionType") == "ROLLBACK" else "") + state.lower()
        if state == "FAILED":
            lines = [line for one in actions_of(client, execution, "Failed") for line in failure(one)]
    console = f"https://{event['region']}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{PIPELINE}"
    lines += [*commit_of(found), f"{console}/executions/{execution}/timeline"]
    boto3.client("sns").publish(
        TopicArn=TOPIC, Subject=f"{PIPELINE} {what}"[:100], Message="\n".join([f"{PIPELINE} {what}", "", *lines])
    )
