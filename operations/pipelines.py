"""Stop a delivery pipeline, so that it does not redeploy what is being destroyed."""

import contextlib
import time
from collections.abc import Callable, Iterable

from boto3.session import Session

from operations.installation import PIPELINE_TYPE, Stack

_REASON = "The installation is being destroyed."
_RUNNING = frozenset({"InProgress", "Stopping"})


def stop_pipelines(session: Session, stacks: Iterable[Stack], *, report: Callable[[str], None]) -> None:
    """Block new executions of every pipeline in `stacks`, abandon the running ones and stop their builds."""
    for stack in stacks:
        for name in stack.ids(PIPELINE_TYPE):
            report(f"stopping {name}")
            _stop_pipeline(session, stack.region, name)
        if stack.has_pipeline:
            _stop_builds(session, stack)


def _stop_pipeline(session: Session, region: str, name: str) -> None:
    codepipeline = session.client("codepipeline", region_name=region)
    stages = codepipeline.get_pipeline(name=name)["pipeline"]["stages"]
    # The transition into the first stage cannot be disabled; new executions wait before the second one.
    codepipeline.disable_stage_transition(
        pipelineName=name, stageName=stages[1]["name"], transitionType="Inbound", reason=_REASON
    )
    pages = codepipeline.get_paginator("list_pipeline_executions").paginate(pipelineName=name)
    for page in pages:
        for execution in page["pipelineExecutionSummaries"]:
            if execution["status"] in _RUNNING:
                # It may have ended since, or be stopping because of an earlier run.
                with contextlib.suppress(
                    codepipeline.exceptions.DuplicatedStopRequestException,
                    codepipeline.exceptions.PipelineExecutionNotStoppableException,
                ):
                    codepipeline.stop_pipeline_execution(
                        pipelineName=name,
                        pipelineExecutionId=execution["pipelineExecutionId"],
                        abandon=True,
                        reason=_REASON,
                    )


def _stop_builds(session: Session, stack: Stack) -> None:
    """Stop running builds: an abandoned self-mutation would continue and deploy PipelineStack again."""
    codebuild = session.client("codebuild", region_name=stack.region)
    for project in stack.ids("AWS::CodeBuild::Project"):
        # Newest builds first; a project runs far fewer than one page of builds at a time.
        ids = codebuild.list_builds_for_project(projectName=project).get("ids", [])
        if not ids:
            continue
        for build in codebuild.batch_get_builds(ids=ids[:100])["builds"]:
            if build["buildStatus"] == "IN_PROGRESS":
                codebuild.stop_build(id=build["id"])


def wait_until_settled(
    session: Session, stacks: Iterable[Stack], *, report: Callable[[str], None], poll_seconds: float = 5.0
) -> None:
    """Wait for operations in progress on the stacks: an abandoned deployment runs to its end."""
    for stack in stacks:
        cloudformation = session.client("cloudformation", region_name=stack.region)
        announced = False
        while True:
            status = cloudformation.describe_stacks(StackName=stack.id)["Stacks"][0]["StackStatus"]
            if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                break
            if not announced:
                report(f"waiting for {stack.name} ({status})")
                announced = True
            time.sleep(poll_seconds)
