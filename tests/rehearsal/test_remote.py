"""A push to the rehearsal remote: only the pipeline's branch runs, and a pusher is told when nobody listens."""

import io
import subprocess
import sys
from pathlib import Path

from rehearsal.account import Account
from rehearsal.ports import Ports
from rehearsal.rehearse import Rehearsal
from rehearsal.remote import Remote
from rehearsal.timeline import Timeline
from rehearsal.workspace import Workspace
from tests.rehearsal.conftest import PROJECT, Decider


def make_remote(folder: Path) -> Remote:
    workspace = Workspace(checkout=folder)
    workspace.empty()
    account = Account(workspace=workspace, ports=Ports(0))
    return Remote(rehearsal=Rehearsal(account=account, timeline=Timeline(workspace.timeline), approver=Decider()))


def test_another_branch_starts_nothing(tmp_path: Path) -> None:
    output = io.StringIO()
    make_remote(tmp_path).run("c0ffee", "feature", output)
    assert output.getvalue().startswith("Failed: the pipeline follows branch main, not feature; nothing was started")


def test_a_push_while_nobody_listens_says_what_to_do(tmp_path: Path) -> None:
    remote = make_remote(tmp_path)
    remote.create()
    hook = subprocess.run(
        [str(remote.repository / "hooks" / "post-receive")],
        input=f"{'0' * 40} {'1' * 40} refs/heads/main\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert hook.returncode == 1
    assert "start it with `make rehearse-remote`, then push again" in hook.stdout


def test_deleting_a_branch_runs_nothing(tmp_path: Path) -> None:
    hook = subprocess.run(
        [sys.executable, "-m", "rehearsal.push_hook", str(tmp_path / "none.sock")],
        input=f"{'1' * 40} {'0' * 40} refs/heads/main\n",
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (hook.returncode, hook.stdout) == (0, "")
