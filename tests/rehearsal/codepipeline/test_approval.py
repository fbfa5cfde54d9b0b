"""The approver reads what the real one would read, decides, and a rejection stops the pipeline."""

import threading
from pathlib import Path

import pytest

from rehearsal.codepipeline.approval import Approval, RejectedError, Request
from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import RunContext
from rehearsal.codepipeline.variables import Variables

ACTION = Action(
    name="ApproveProd",
    category="Approval",
    provider="Manual",
    configuration={"CustomData": "prod: #{report.SUMMARY}", "ExternalEntityLink": "#{report.URL}"},
)


class Decider:
    """Decides as the test says and remembers what it was asked."""

    def __init__(self, *, approves: bool) -> None:
        self.approves = approves
        self.asked: list[Request] = []

    def approve(self, request: Request) -> bool:
        self.asked.append(request)
        return self.approves


def around(folder: Path) -> RunContext:
    variables = Variables({})
    variables.export("report", {"SUMMARY": "1 replaced", "URL": "https://console.example/build/1"})
    return RunContext(
        stage="ApproveProd",
        execution_id="e",
        artifacts=Artifacts(folder / "artifacts"),
        variables=variables,
        log=folder / "ApproveProd.ApproveProd.log",
        progress=lambda _: None,
        cancelled=threading.Event(),
    )


def test_the_approver_reads_the_actions_own_text_and_link_and_where_the_report_is_here(tmp_path: Path) -> None:
    report, other = tmp_path / "ApproveProd.ChangeReportProd.log", tmp_path / "Dev.SmokeDev.log"
    for log in (report, other):
        log.touch()
    decider = Decider(approves=True)
    Approval(approver=decider).run(ACTION, around(tmp_path))
    (asked,) = decider.asked
    assert (asked.text, asked.link) == ("prod: 1 replaced", "https://console.example/build/1")
    assert asked.logs == (report,)


def test_a_rejection_stops_the_pipeline_and_says_that_nothing_was_touched(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="nothing behind it was touched"):
        Approval(approver=Decider(approves=False)).run(ACTION, around(tmp_path))
