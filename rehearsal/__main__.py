"""`make rehearse`: take a commit through the whole pipeline on this machine.

Exit status: 0 done, 1 a stage failed or something was left, 2 wrong use, 130 interrupted.
"""

import contextlib
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from rehearsal.account import Account, LeftoversError, SetupError
from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.codepipeline.source import Commit, RevisionError
from rehearsal.compute.engine import find_engine
from rehearsal.compute.errors import EngineError
from rehearsal.console import Display, make_display
from rehearsal.foreground import MainThreadApprover, run_in_background
from rehearsal.options import OptionError, Options, is_interactive
from rehearsal.ports import PortInUseError, Ports
from rehearsal.rehearse import Rehearsal
from rehearsal.timeline import Timeline
from rehearsal.workspace import BusyError, Workspace

_OUTCOMES = {0: "succeeded", 1: "failed", 130: "interrupted"}


@dataclass(frozen=True, kw_only=True)
class Command:
    """One `make rehearse`."""

    rehearsal: Rehearsal
    options: Options
    display: Display
    approver: MainThreadApprover
    commit: Commit
    deployed: Commit

    def run(self) -> int:
        """Rehearse from set-up to destruction; whatever happens, nothing keeps running. Answers the exit status."""
        self.rehearsal.timeline.record(commit=self.commit.id, outcome="running")
        self.display.say(f"rehearsing {self.commit.id[:12]} {self.commit.subject}")
        self.display.start()
        status = 1
        try:
            self._rehearse()
            self._sum_up_decisions(failed=False)
            status = 0
        except (StageFailedError, SetupError) as error:
            self._sum_up_decisions(failed=True)
            self.display.fail("The rehearsal failed", str(error), error.log)
        except LeftoversError as error:
            self.display.fail("The rehearsal failed", str(error), None)
        except KeyboardInterrupt:
            self.display.say("interrupted: stopping everything that was started")
            status = 130
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            self.rehearsal.account.close()
            self.display.stop()
            self.rehearsal.timeline.record(outcome=_OUTCOMES[status])
        return status

    def _sum_up_decisions(self, *, failed: bool) -> None:
        """Say how many calls the deployed policies decided; after a failure also which they denied."""
        decisions = self.rehearsal.decisions()
        calls = decisions.by_principal()
        self.rehearsal.timeline.record(decisions=calls)
        denials = decisions.denials()
        decided = f"{sum(calls.values())} calls of {len(calls)} principals"
        self.display.say(f"the deployed policies decided {decided} and denied {len(denials)}")
        for denial in denials if failed else ():
            self.display.say(f"  {denial}")

    def _rehearse(self) -> None:
        self._do(self._to_prod)
        endpoints = self.rehearsal.account.endpoints()
        self.rehearsal.timeline.record(endpoints={name: outputs["ApiUrl"] for name, outputs in endpoints.items()})
        self.display.finish("Every stage succeeded", self._farewell(endpoints))
        if self.options.keep:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            self.display.start()
        self._do(self.rehearsal.destroy)
        self.display.finish("Rehearsed: everything was destroyed, nothing is left", [])

    def _do(self, work: Callable[[], None]) -> None:
        run_in_background(work, self.approver, self.display, self.rehearsal.account.cancelled)

    def _to_prod(self) -> None:
        self.rehearsal.prepare(self.deployed)
        self.rehearsal.run(self.commit)

    def _farewell(self, endpoints: Mapping[str, Mapping[str, str]]) -> list[str]:
        """The base URLs, a command that works, and where to read more."""
        account = self.rehearsal.account
        lines = [f"{stack}: {outputs['ApiUrl']}" for stack, outputs in endpoints.items()]
        if self.options.keep:
            for outputs in list(endpoints.values())[-1:]:
                lines += ["", "Call it, ready to paste:", *_curl(account, outputs), "", "Ctrl-C destroys everything."]
        return [*lines, f"logs: {account.workspace.logs}", f"timeline: {account.workspace.timeline}"]


def _curl(account: Account, outputs: Mapping[str, str]) -> list[str]:
    """A command that works: a payment with the smoke key where the stack tells of one, else the health check."""
    call = f"curl --cacert {account.runtime.ca_file} {outputs['ApiUrl']}"
    secret = outputs.get("SmokeKeySecretArn")
    if secret is None:
        return [f"{call}/healthz"]
    key = f"sk_test_{account.secret(f'{secret}:id')}_{account.secret(f'{secret}:secret')}"
    body = '{"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}'
    return [
        f"{call}/v1/payments \\",
        f"  -H 'Authorization: Bearer {key}' -H 'Idempotency-Key: {uuid.uuid4()}' \\",
        f"  -H 'Content-Type: application/json' -d '{body}'",
    ]


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Read what the caller wants, hold the checkout, rehearse."""
    console = Console()
    try:
        options = Options.read(os.environ, interactive=is_interactive())
        workspace = Workspace(checkout=Path.cwd())
        commit = Commit.resolve(workspace.checkout, options.revision)
        deployed = Commit.resolve(workspace.checkout, options.deployed)
        with workspace.lock():
            workspace.empty()
            ports = Ports(options.port)
            ports.check()
            for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs are made to ignore the first
                signal.signal(number, _interrupt)
            timeline = Timeline(workspace.timeline)
            approver = MainThreadApprover(decision=options.decision)
            display = make_display(timeline, console)
            account = Account(workspace=workspace, ports=ports, engine=find_engine(os.environ), say=display.say)
            return Command(
                rehearsal=Rehearsal(account=account, timeline=timeline, approver=approver),
                options=options,
                display=display,
                approver=approver,
                commit=commit,
                deployed=deployed,
            ).run()
    except (OptionError, RevisionError, BusyError, PortInUseError, EngineError) as error:
        console.print(f"rehearsal: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
