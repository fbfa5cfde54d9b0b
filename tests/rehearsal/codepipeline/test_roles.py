"""Calls that the rehearsal does not make are authorized as the roles that make them on AWS."""

import pytest

from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import ActionError
from tests.rehearsal.codepipeline.authorization_stub import BUILD_ROLE, PIPELINE_ROLE, AuthorizationStub, action_roles

CONNECTION = "arn:aws:codeconnections:us-east-1:000000000000:connection/1"
SOURCE = Action(
    name="Source",
    category="Source",
    provider="CodeStarSourceConnection",
    configuration={"ConnectionArn": CONNECTION, "OutputArtifactFormat": "CODEBUILD_CLONE_REF"},
    outputs=("Source",),
)


def test_the_calls_of_a_source_action_are_authorized() -> None:
    authorization = AuthorizationStub()
    action_roles(authorization, SOURCE).fetch_source(SOURCE)
    assert [(role, action) for role, action, _ in authorization.calls] == [
        (PIPELINE_ROLE, "codeconnections:UseConnection"),
        (PIPELINE_ROLE, "codestar-connections:UseConnection"),
        (PIPELINE_ROLE, "s3:PutObject"),
    ]
    assert authorization.calls[1][2] == CONNECTION.replace("codeconnections", "codestar-connections")
    assert authorization.calls[2][2].startswith("arn:aws:s3:::artifacts/pipeline-main/Source/")


def test_a_build_needs_permission_to_start() -> None:
    action = Action(name="a", category="Build", provider="CodeBuild", configuration={"ProjectName": "synth"})
    with pytest.raises(ActionError, match=f"{PIPELINE_ROLE} is not authorized to perform codebuild:StartBuild"):
        action_roles(AuthorizationStub(denied=frozenset({"codebuild:StartBuild"}))).start_build(action)


def test_only_builds_of_a_full_clone_use_the_connection() -> None:
    pipeline = action_roles(None, SOURCE).pipeline
    assert pipeline.cloned_source("Source") is SOURCE
    assert pipeline.cloned_source("Synth_Output") is None


def test_a_report_is_put_into_its_group() -> None:
    authorization = AuthorizationStub()
    roles = action_roles(authorization)
    group = "arn:aws:codebuild:us-east-1:000000000000:report-group/group"
    roles.put_report(BUILD_ROLE, group, coverage=True)
    roles.put_report(BUILD_ROLE, group, coverage=False)
    assert authorization.calls == [
        (BUILD_ROLE, f"codebuild:{action}", group)
        for put in ("BatchPutCodeCoverages", "BatchPutTestCases")
        for action in ("CreateReport", "UpdateReport", put)
    ]
