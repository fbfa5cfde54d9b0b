"""The live view in a terminal, and plain lines otherwise."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from rehearsal.cli.display import Display, PlainDisplay, TerminalDisplay, make_display
from rehearsal.codepipeline.approval import WAITING, ApprovalRequest
from rehearsal.codepipeline.timeline import Status, Timeline
from tests.waiting import wait_until

REQUEST = ApprovalRequest(
    stage="Prod", action="Approve", text="3 resources replaced", link="https://example.com", logs=(Path("report.log"),)
)


def make(timeline: Timeline, *, terminal: bool) -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    return make_display(timeline, Console(file=out, force_terminal=terminal, width=120)), out


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    return Timeline(tmp_path / "timeline.json")


def test_without_a_terminal_every_start_and_end_is_one_line(timeline: Timeline, tmp_path: Path) -> None:
    display, out = make(timeline, terminal=False)
    assert isinstance(display, PlainDisplay)
    entry = timeline.plan("Dev", "Deploy", "e1")
    timeline.begin(entry, tmp_path / "log")
    timeline.progress(entry, "half way")
    timeline.end(entry, Status.FAILED, "no space\nsecond line")
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].split()[1:] == ["Dev", "Deploy", "InProgress"]
    assert lines[1].endswith("s): no space")
    assert "\x1b" not in out.getvalue()


def test_without_a_terminal_a_long_action_tells_what_it_does(timeline: Timeline, tmp_path: Path) -> None:
    out = io.StringIO()
    display = PlainDisplay(timeline, Console(file=out, width=120), quiet_seconds=0.01)
    for stage, progress in (("Build", "1200 of 4030 tests"), ("Prod", WAITING), ("Setup", "")):
        log = tmp_path / stage
        log.write_text(f"first line of {stage}\nlast line of {stage}\n")
        entry = timeline.plan(stage, "Action", "e1")
        timeline.begin(entry, log)
        timeline.progress(entry, progress)
    wait_until(lambda: "last line of Setup" in out.getvalue(), "the progress of every action")
    display.close()
    told = [line.split()[1:] for line in out.getvalue().splitlines() if "InProgress" not in line]
    assert ["Build", "Action", "0", "s:", "1200", "of", "4030", "tests"] in told
    assert not any(words[0] == "Prod" for words in told), "whoever decides is not hurried"


def test_an_abandoned_action_is_not_printed(timeline: Timeline) -> None:
    _, out = make(timeline, terminal=False)
    timeline.end(timeline.plan("Prod", "Deploy", "e1"), Status.ABANDONED)
    assert out.getvalue() == ""


def test_a_failure_is_shown_with_the_end_of_its_log_and_its_cause(timeline: Timeline, tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    for terminal in (False, True):
        display, out = make(timeline, terminal=terminal)
        display.fail("The rehearsal failed", "stage Dev, action Build: broken", log)
        text = out.getvalue()
        assert "line 99" in text
        assert "line 10\n" not in text
        assert text.index("line 99") < text.index("broken")


def test_without_a_terminal_a_request_is_rejected(timeline: Timeline) -> None:
    display, out = make(timeline, terminal=False)
    assert display.ask(REQUEST) is False
    assert "3 resources replaced" in out.getvalue()


@pytest.mark.parametrize(("typed", "decision"), [("y\n", True), ("n\n", False)], ids=["yes", "no"])
def test_plain_lines_in_a_terminal_ask(
    typed: str, decision: bool, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert PlainDisplay(timeline, Console(file=out, force_terminal=True)).ask(REQUEST) is decision
    assert "3 resources replaced" in out.getvalue()


@pytest.mark.parametrize(("typed", "decision"), [("y\n", True), ("maybe\nno\n", False)], ids=["yes", "no"])
def test_the_live_view_asks_until_the_decision_is_clear(
    typed: str, decision: bool, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    display, out = make(timeline, terminal=True)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert isinstance(display, TerminalDisplay)
    display.start()
    assert display.ask(REQUEST) is decision
    display.stop()
    assert "3 resources replaced" in out.getvalue()
    assert "https://example.com" in out.getvalue()
    assert "y/n" in out.getvalue()  # a bracket is markup to rich unless escaped
    assert "report.log" in out.getvalue()


def test_the_live_view_expands_the_stages_in_progress(timeline: Timeline, tmp_path: Path) -> None:
    done = timeline.plan("Source", "Checkout", "e1")
    timeline.begin(done, tmp_path / "log")
    timeline.end(done, Status.SUCCEEDED)
    running = timeline.plan("Build", "Synth", "e1")
    timeline.begin(running, tmp_path / "log")
    timeline.progress(running, "make gates")
    display, out = make(timeline, terminal=True)
    display.start()
    display.stop()
    text = out.getvalue()
    assert "make gates" in text
    assert "Source" in text
    assert "Checkout" not in text
