"""Rehearsals of the fixture app: a checkout of its own for each, with this checkout's tools."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import pytest

from rehearsal.codepipeline.approval import ApprovalRequest
from rehearsal.codepipeline.source import Commit
from rehearsal.codepipeline.timeline import Timeline
from rehearsal.ecr.container_engine import ENGINE_VARIABLE, NO_ENGINE
from rehearsal.emulator.process import EmulatorProcess
from rehearsal.runner.emulated_account import EmulatedAccount
from rehearsal.runner.ports import Ports
from rehearsal.runner.project import Project
from rehearsal.runner.rehearsal import Rehearsal
from rehearsal.runner.workspace import Workspace

PROJECT = Path(__file__).parents[2]
FIXTURE = Path(__file__).parent / "fixture_app"


def link_tools(folder: Path) -> None:
    """Give a folder this checkout's tools and caches, and its Python to builds, which must install nothing then."""
    for tools in (".venv", "node_modules"):
        (folder / tools).symlink_to(PROJECT / tools)
    toolchain = folder / ".run" / "toolchain"
    toolchain.mkdir(parents=True)
    (PROJECT / ".run" / "cache").mkdir(parents=True, exist_ok=True)
    (folder / ".run" / "cache").symlink_to(PROJECT / ".run" / "cache")
    version = ".".join(str(part) for part in sys.version_info[:3])
    (toolchain / f"python-{version}").symlink_to(PROJECT / ".venv")


@dataclass(frozen=True)
class Checkout:
    """A git repository with the fixture app, and the tools of this checkout."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Copy the fixture app and commit it."""
        ignored = shutil.ignore_patterns("__pycache__", "cdk.out")
        shutil.copytree(FIXTURE, folder, ignore=ignored)
        (folder / ".gitignore").write_text("/.run/\n/.venv\n/node_modules\n__pycache__/\n/cdk.out/\n")
        link_tools(folder)
        checkout = cls(folder)
        checkout.git("init", "--quiet", "--initial-branch=main")
        checkout.commit("First release")
        return checkout

    def git(self, *arguments: str) -> None:
        """Run git in the checkout."""
        identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True)

    def commit(self, message: str) -> Commit:
        """Commit everything that changed."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return Commit.resolve(self.folder, "HEAD")

    def change(self, file: str, **values: object) -> Commit:
        """Change values of a JSON file and commit."""
        path = self.folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values, indent=2))
        return self.commit(f"Change {', '.join(values)}")

    def start(self, **variables: str) -> "subprocess.Popen[str]":
        """Start a rehearsal with its output in a pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "rehearsal"],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "REHEARSE_PORT": "0",
                ENGINE_VARIABLE: NO_ENGINE,
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@dataclass
class Decider:
    """An approver that decides as the test says and records its requests."""

    approves: bool = True
    requests: list[ApprovalRequest] = field(default_factory=list)

    def approve(self, request: ApprovalRequest) -> bool:
        """Return `approves`."""
        self.requests.append(request)
        return self.approves


@dataclass(frozen=True)
class Session:
    """An open rehearsal with the first release in dev and prod."""

    checkout: Checkout
    rehearsal: Rehearsal
    decider: Decider

    @property
    def account(self) -> EmulatedAccount:
        """The emulated account."""
        return self.rehearsal.account


def left_running(folder: Path) -> list[str]:
    """Return the processes that work in a folder, or were started with its path."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout of the fixture app."""
    return Checkout.make(tmp_path / "checkout")


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One account for all tests that deploy another commit: the first deployment takes most of the time."""
    checkout = Checkout.make(tmp_path_factory.mktemp("session") / "checkout")
    workspace = Workspace(checkout=checkout.folder)
    workspace.empty()
    decider = Decider()
    account = EmulatedAccount(workspace=workspace, ports=Ports(0))
    rehearsal = Rehearsal(
        project=Project.read(checkout.folder),
        account=account,
        timeline=Timeline(workspace.timeline),
        approver=decider,
    )
    commit = Commit.resolve(checkout.folder, "HEAD")
    try:
        rehearsal.prepare(commit)
        rehearsal.run(commit)
        yield Session(checkout, rehearsal, decider)
    finally:
        account.close()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """An emulator that the tests of a module share."""
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield process
