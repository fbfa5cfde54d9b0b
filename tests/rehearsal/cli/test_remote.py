"""Pushes to the rehearsal remote."""

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rehearsal.cli.remote import Remote
from rehearsal.codepipeline.source import Commit
from rehearsal.codepipeline.timeline import Timeline
from rehearsal.runner.emulated_account import EmulatedAccount
from rehearsal.runner.ports import Ports
from rehearsal.runner.project import Project
from rehearsal.runner.rehearsal import Rehearsal
from rehearsal.runner.workspace import Workspace
from tests.rehearsal.conftest import PROJECT, Decider


def make_remote(folder: Path) -> Remote:
    workspace = Workspace(checkout=folder)
    workspace.empty()
    rehearsal = Rehearsal(
        project=Project(stacks=("PipelineStack",), destroy=("true",)),
        account=EmulatedAccount(workspace=workspace, ports=Ports(0)),
        timeline=Timeline(workspace.timeline),
        approver=Decider(),
    )
    return Remote(rehearsal=rehearsal)


def test_another_branch_starts_nothing(tmp_path: Path) -> None:
    output = io.StringIO()
    make_remote(tmp_path).run("c0ffee", "feature", output)
    assert output.getvalue().startswith("Failed: the pipeline runs for branch main, not for feature")


class Pusher(io.StringIO):
    """The output of a push; `queued` is set once it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.queued = threading.Event()

    def write(self, text: str) -> int:
        if "queued" in text:
            self.queued.set()
        return super().write(text)


def test_a_push_during_a_run_is_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = make_remote(tmp_path)
    remote.create()
    first, second = (make_commit(remote.repository, message) for message in ("First", "Second"))
    started, proceed, ran = threading.Event(), threading.Event(), list[str]()

    def run(_: Rehearsal, commit: Commit) -> None:
        ran.append(f"{commit.subject} starts")
        started.set()
        assert proceed.wait(30)
        ran.append(f"{commit.subject} ends")

    monkeypatch.setattr(Rehearsal, "run", run)
    monkeypatch.setattr(EmulatedAccount, "served_stacks", lambda _: [])
    outputs = Pusher(), Pusher()
    threads = [
        threading.Thread(target=remote.run, args=(commit, "main", output))
        for commit, output in zip((first, second), outputs, strict=True)
    ]
    threads[0].start()
    assert started.wait(30)
    threads[1].start()
    assert outputs[1].queued.wait(30)
    assert ran == ["First starts"]
    proceed.set()
    for thread in threads:
        thread.join(30)
    assert ran == ["First starts", "First ends", "Second starts", "Second ends"]
    assert [output.getvalue().splitlines()[-1][:9] for output in outputs] == ["Succeeded", "Succeeded"]


def make_commit(repository: Path, message: str) -> str:
    git = ["git", "-C", str(repository), "-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    tree = subprocess.run([*git, "mktree"], input="", capture_output=True, text=True, check=True).stdout.strip()
    commit = subprocess.run([*git, "commit-tree", tree, "-m", message], capture_output=True, text=True, check=True)
    return commit.stdout.strip()


def test_a_push_without_a_running_rehearsal_fails(tmp_path: Path) -> None:
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
    assert "start `make rehearse-remote`, then push again" in hook.stdout


def test_deleting_a_branch_starts_nothing(tmp_path: Path) -> None:
    hook = subprocess.run(
        [sys.executable, "-m", "rehearsal.cli.push_hook", str(tmp_path / "none.sock")],
        input=f"{'1' * 40} {'0' * 40} refs/heads/main\n",
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (hook.returncode, hook.stdout) == (0, "")
