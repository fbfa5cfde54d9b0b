"""`make rehearse`: take a commit through the whole pipeline on this machine.

Exit status: 0 success, 1 a stage failed or something is left, 2 invalid use, 130 interrupted.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from rehearsal.cli.approver import TerminalApprover, run_in_background
from rehearsal.cli.display import Display, make_display
from rehearsal.cli.options import Options
from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.codepipeline.source import Commit, RevisionError
from rehearsal.codepipeline.timeline import Timeline
from rehearsal.ecr.container_engine import find_engine
from rehearsal.host.errors import ContainerEngineError, PortInUseError
from rehearsal.host.lock import LockedError
from rehearsal.host.settings import SettingsError
from rehearsal.runner.emulated_account import EmulatedAccount, LeftoversError, SetupError
from rehearsal.runner.ports import Ports
from rehearsal.runner.project import Project, ProjectError
from rehearsal.runner.rehearsal import Rehearsal
from rehearsal.runner.workspace import Workspace

_OUTCOMES = {0: "succeeded", 1: "failed", 130: "interrupted"}

#: Errors that end a command before anything has started.
USAGE_ERRORS = (ContainerEngineError, LockedError, PortInUseError, ProjectError, RevisionError, SettingsError)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One `make rehearse`."""

    rehearsal: Rehearsal
    display: Display
    approver: TerminalApprover
    commit: Commit
    deployed: Commit
    keeps_serving: bool

    def run(self) -> int:
        """Rehearse, and stop every process in any case; return the exit status."""
        self.rehearsal.timeline.record(commit=self.commit.id, outcome="running")
        self.display.say(f"rehearsing {self.commit.id[:12]} {self.commit.subject}")
        self.display.start()
        status = 1
        try:
            self._rehearse()
            self._summarize_decisions(failed=False)
            status = 0
        except (StageFailedError, SetupError) as error:
            self._summarize_decisions(failed=True)
            self.display.fail("The rehearsal failed", str(error), error.log)
        except LeftoversError as error:
            self.display.fail("The rehearsal failed", str(error), None)
        except KeyboardInterrupt:
            self.display.say("interrupted: stopping everything")
            status = 130
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            self.rehearsal.account.close()
            self.display.stop()
            self.rehearsal.timeline.record(outcome=_OUTCOMES[status])
        return status

    def _rehearse(self) -> None:
        self._run(lambda: self.rehearsal.prepare(self.deployed))
        self._run(lambda: self.rehearsal.run(self.commit))
        stacks = self.rehearsal.account.served_stacks()
        self.rehearsal.timeline.record(endpoints={stack.name: stack.url for stack in stacks})
        lines = [f"{stack.name}: {stack.url}" for stack in stacks]
        if self.keeps_serving:
            if stacks:
                lines += ["", *self.rehearsal.example(stacks[-1])]
            lines += ["", "Ctrl-C destroys everything."]
        workspace = self.rehearsal.account.workspace
        lines += [f"logs: {workspace.logs}", f"timeline: {workspace.timeline}"]
        self.display.finish("Every stage succeeded", lines)
        if self.keeps_serving:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            self.display.start()
        self._run(self.rehearsal.destroy)
        self.display.finish("Rehearsed: everything was destroyed, nothing is left", [])

    def _run(self, work: Callable[[], None]) -> None:
        run_in_background(work, self.approver, self.display, self.rehearsal.account.cancelled)

    def _summarize_decisions(self, *, failed: bool) -> None:
        """Print how many calls the deployed policies decided, and after a failure the ones that they denied."""
        decisions = self.rehearsal.save_decisions()
        calls = decisions.count_by_principal()
        self.rehearsal.timeline.record(decisions=calls)
        denials = decisions.denials()
        total = f"{sum(calls.values())} calls of {len(calls)} principals"
        self.display.say(f"the deployed policies decided {total} and denied {len(denials)}")
        for denial in denials if failed else ():
            self.display.say(f"  {denial}")


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Handle a signal as Ctrl-C is handled."""
    raise KeyboardInterrupt


def main() -> int:
    """Read the options, lock the checkout and rehearse; return the exit status."""
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
            return Command(
                rehearsal=Rehearsal(project=project, account=account, timeline=timeline, approver=approver),
                display=display,
                approver=approver,
                commit=commit,
                deployed=deployed,
                keeps_serving=options.keeps_serving,
            ).run()
    except USAGE_ERRORS as error:
        console.print(f"rehearsal: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
