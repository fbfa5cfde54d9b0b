"""What `make rehearse` and `make rehearse-remote` share: options, the locked checkout, and a rehearsal in it."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from rehearsal.cli.approver import TerminalApprover, run_in_background
from rehearsal.cli.display import Display
from rehearsal.cli.options import Options
from rehearsal.codepipeline.source import Commit, RevisionError
from rehearsal.codepipeline.timeline import Timeline
from rehearsal.ecr.container_engine import find_engine
from rehearsal.host.errors import ContainerEngineError, PortInUseError
from rehearsal.host.lock import LockedError
from rehearsal.host.settings import SettingsError
from rehearsal.runner.emulated_account import EmulatedAccount
from rehearsal.runner.ports import Ports
from rehearsal.runner.project import Project, ProjectError
from rehearsal.runner.rehearsal import Rehearsal
from rehearsal.runner.workspace import Workspace

#: Errors that end a command before anything has started.
_USAGE_ERRORS = (ContainerEngineError, LockedError, PortInUseError, ProjectError, RevisionError, SettingsError)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a command; nothing has started yet."""

    options: Options
    rehearsal: Rehearsal
    display: Display
    approver: TerminalApprover
    #: The commit to rehearse.
    commit: Commit
    #: The commit whose pipeline stack is deployed first.
    deployed: Commit

    def run_in_background(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread while the terminal decides approvals; its exception is raised here."""
        run_in_background(work, self.approver, self.display, self.rehearsal.account.cancelled)


def run_session(make_display: Callable[[Timeline, Console], Display], command: Callable[[Session], int]) -> int:
    """Run a command in the current folder's checkout, which it locks.

    Returns:
        The exit status of the command; 2 if it cannot start.
    """
    console = Console()
    workspace = Workspace(checkout=Path.cwd())
    try:
        options = Options.read()
        project = Project.read(workspace.checkout)
        commit = Commit.resolve(workspace.checkout, options.revision)
        deployed = Commit.resolve(workspace.checkout, options.deployed_revision)
        with workspace.lock():
            workspace.empty()
            ports = Ports(options.rehearse_port)
            ports.check()
            for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore SIGINT otherwise
                signal.signal(number, interrupt)
            timeline = Timeline(workspace.timeline)
            approver = TerminalApprover(mode=options.approval_mode)
            display = make_display(timeline, console)
            account = EmulatedAccount(
                workspace=workspace, ports=ports, engine=find_engine(os.environ), notify=display.say
            )
            rehearsal = Rehearsal(project=project, account=account, timeline=timeline, approver=approver)
            return command(
                Session(
                    options=options,
                    rehearsal=rehearsal,
                    display=display,
                    approver=approver,
                    commit=commit,
                    deployed=deployed,
                )
            )
    except _USAGE_ERRORS as error:
        console.print(f"rehearsal: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Handle a signal as Ctrl-C is handled."""
    raise KeyboardInterrupt
