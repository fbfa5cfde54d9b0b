"""Ctrl-C ends the work in the background before anything that it uses is stopped."""

import io
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from rehearsal.cli import approver
from rehearsal.cli.approver import TerminalApprover, run_in_background
from rehearsal.cli.display import make_display
from rehearsal.cli.options import ApprovalMode
from rehearsal.codepipeline.timeline import Timeline


def run(tmp_path: Path, cancelled: threading.Event) -> bool:
    """Run what goes on until it is cancelled; returns whether it has ended when Ctrl-C is raised."""
    ended = threading.Event()

    def work() -> None:
        assert cancelled.wait(60)
        ended.set()

    display = make_display(Timeline(tmp_path / "timeline.json"), Console(file=io.StringIO()))
    with pytest.raises(KeyboardInterrupt):
        run_in_background(work, TerminalApprover(mode=ApprovalMode.ASK), display, cancelled)
    return ended.is_set()


def test_an_interruption_lets_the_work_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TerminalApprover, "ask_next", interrupt)
    assert run(tmp_path, threading.Event())


def test_an_interruption_at_the_start_lets_the_work_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(threading.Thread):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr(approver, "threading", SimpleNamespace(Thread=Interrupted, Event=threading.Event))
    assert run(tmp_path, threading.Event())
