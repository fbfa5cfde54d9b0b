"""Manual approvals."""

from pathlib import Path

import pytest

from rehearsal.codepipeline.approval import ApprovalExecutor, RejectedError
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import RunContext
from tests.rehearsal.codepipeline.run_contexts import run_context
from tests.rehearsal.conftest import Decider

ACTION = Action(
    name="ApproveProd",
    category="Approval",
    provider="Manual",
    configuration={"CustomData": "prod: #{report.SUMMARY}", "ExternalEntityLink": "#{report.URL}"},
)


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    context = run_context(tmp_path, stage="ApproveProd", log="ApproveProd.ApproveProd.log")
    context.variables.export("report", {"SUMMARY": "1 replaced", "URL": "https://console.example/build/1"})
    return context


def test_the_approver_gets_text_link_and_logs(context: RunContext, tmp_path: Path) -> None:
    report, other = tmp_path / "ApproveProd.ChangeReportProd.log", tmp_path / "Dev.SmokeDev.log"
    for log in (report, other):
        log.touch()
    decider = Decider(approves=True)
    ApprovalExecutor(approver=decider).execute(ACTION, context)
    (request,) = decider.requests
    assert (request.text, request.link) == ("prod: 1 replaced", "https://console.example/build/1")
    assert request.logs == (report,)


def test_a_rejection_fails_the_action(context: RunContext) -> None:
    with pytest.raises(RejectedError, match="ApproveProd was rejected; no later action was started"):
        ApprovalExecutor(approver=Decider(approves=False)).execute(ACTION, context)
