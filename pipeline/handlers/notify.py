"""Notify people of a pipeline execution: its outcome, the failed action, the commit, and a link to the console.

Called by EventBridge for executions that failed or succeeded and for pending approvals. Stopped and superseded
executions are not failures: the rules do not match them.
"""

import contextlib
import json
import os
from typing import Any  # events, clients and API responses

import boto3

PIPELINE, TOPIC = os.environ["PIPELINE"], os.environ["TOPIC"]


def subject(summary: str) -> str:
    """Return the first line of a commit message, which CodeConnections wraps in JSON."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        summary = json.loads(summary)["CommitMessage"]
    return summary.partition("\n")[0]


def commit_lines(execution: dict[str, Any]) -> list[str]:
    """Return the commit of an execution as lines of text."""
    lines = []
    for revision in execution.get("artifactRevisions", []):
        summary = subject(revision.get("revisionSummary", ""))
        lines += [f"Commit {revision.get('revisionId', '?')[:12]}: {summary}"]
        lines += [revision["revisionUrl"]] if revision.get("revisionUrl") else []
    return lines


def actions_with(status: str, client: Any, execution_id: str) -> list[dict[str, Any]]:
    """Return the actions of an execution that have a status, newest first."""
    pages = client.get_paginator("list_action_executions").paginate(
        pipelineName=PIPELINE, filter={"pipelineExecutionId": execution_id}
    )
    actions = [action for page in pages for action in page["actionExecutionDetails"]]
    return [action for action in actions if action["status"] == status]


def failure_lines(action: dict[str, Any]) -> list[str]:
    """Return why an action failed as lines of text."""
    result = action.get("output", {}).get("executionResult", {})
    lines = [
        f"Failed: {action['stageName']} / {action['actionName']}",
        result.get("errorDetails", {}).get("message", "") or result.get("externalExecutionSummary", ""),
        result.get("externalExecutionUrl", ""),
    ]
    return [line for line in lines if line]


def approval_lines(action: dict[str, Any]) -> list[str]:
    """Return the text of an approval as lines."""
    approval = action.get("input", {}).get("resolvedConfiguration", {})
    lines = [approval.get("CustomData", ""), approval.get("ExternalEntityLink", "")]
    return [line for line in lines if line]


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - Lambda's signature
    """Publish the message of one event."""
    client, detail = boto3.client("codepipeline"), event["detail"]
    execution_id, state = detail["execution-id"], detail["state"]
    response = client.get_pipeline_execution(pipelineName=PIPELINE, pipelineExecutionId=execution_id)
    execution = response["pipelineExecution"]
    lines = []
    if "action" in detail:
        headline = f"waits for approval: {detail['stage']}"
        for action in actions_with("InProgress", client, execution_id):
            lines += approval_lines(action)
    else:
        headline = ("rollback " if execution.get("executionType") == "ROLLBACK" else "") + state.lower()
        if state == "FAILED":
            for action in actions_with("Failed", client, execution_id):
                lines += failure_lines(action)
    console = f"https://{event['region']}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{PIPELINE}"
    title = f"{PIPELINE} {headline}"
    lines = [title, "", *lines, *commit_lines(execution), f"{console}/executions/{execution_id}/timeline"]
    boto3.client("sns").publish(TopicArn=TOPIC, Subject=title[:100], Message="\n".join(lines))
