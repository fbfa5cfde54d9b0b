"""What CodePipeline and CodeBuild do beside the real calls is decided by the roles that do it on AWS."""

import pytest

from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import ActionError
from tests.rehearsal.codepipeline.authorization_stub import BUILD_ROLE, PIPELINE_ROLE, Decisions, action_roles

CONNECTION = "arn:aws:codeconnections:us-east-1:000000000000:connection/1"
SOURCE = Action(
    name="Source",
    category="Source",
    provider="CodeStarSourceConnection",
    configuration={"ConnectionArn": CONNECTION, "OutputArtifactFormat": "CODEBUILD_CLONE_REF"},
    outputs=("Source",),
)


def test_the_source_action_uses_the_connection_under_both_prefixes_and_stores_the_artifact() -> None:
    decisions = Decisions()
    action_roles(decisions, SOURCE).fetch_source(SOURCE)
    assert [(role, action) for role, action, _ in decisions.asked] == [
        (PIPELINE_ROLE, "codeconnections:UseConnection"),
        (PIPELINE_ROLE, "codestar-connections:UseConnection"),
        (PIPELINE_ROLE, "s3:PutObject"),
    ]
    assert decisions.asked[1][2] == CONNECTION.replace("codeconnections", "codestar-connections")
    assert decisions.asked[2][2].startswith("arn:aws:s3:::artifacts/pipeline-main/Source/")


def test_a_build_starts_with_the_right_to_start_it() -> None:
    action = Action(name="a", category="Build", provider="CodeBuild", configuration={"ProjectName": "synth"})
    with pytest.raises(ActionError, match=f"{PIPELINE_ROLE} is not authorized to perform codebuild:StartBuild"):
        action_roles(Decisions(denied=frozenset({"codebuild:StartBuild"}))).start_build(action)


def test_only_a_clone_reference_makes_a_build_use_the_connection() -> None:
    pipeline = action_roles(None, SOURCE).pipeline
    assert pipeline.cloning_source("Source") is SOURCE
    assert pipeline.cloning_source("Synth_Output") is None


def test_a_report_group_by_bare_name_would_be_made_by_the_build() -> None:
    decisions = Decisions()
    roles = action_roles(decisions)
    roles.report(BUILD_ROLE, "arn:aws:codebuild:us-east-1:000000000000:report-group/known", project="p", coverage=True)
    roles.report(BUILD_ROLE, "bare", project="p", coverage=False)
    assert [(action.partition(":")[2], arn.rpartition("/")[2]) for _, action, arn in decisions.asked] == [
        ("CreateReport", "known"),
        ("UpdateReport", "known"),
        ("BatchPutCodeCoverages", "known"),
        ("CreateReportGroup", "p-bare"),
        ("CreateReport", "p-bare"),
        ("UpdateReport", "p-bare"),
        ("BatchPutTestCases", "p-bare"),
    ]
