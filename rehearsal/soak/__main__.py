"""`make soak MINUTES=15`: nothing of a deployed stage may change while hardly anything happens.

Deploys the first stage as a rehearsal does, leaves it alone for half of the time, uses it lightly for the other half,
prints what it found and writes `.run/soak.json`. With `TIME_SCALE=20` intervals, and the limits that they are measured
against, are that many times shorter, and MINUTES pass as much faster.

Exit status: 0 all is well, 1 it is not, 2 wrong use, 130 interrupted.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from rehearsal.account import Account, SetupError
from rehearsal.codepipeline.actions import CancelledError
from rehearsal.compute.engine import find_engine
from rehearsal.compute.errors import ComputeError
from rehearsal.ports import Ports
from rehearsal.soak.options import OptionError, Options
from rehearsal.soak.soak import Soak
from rehearsal.soak.verdict import Finding
from rehearsal.workspace import BusyError, Workspace

_MARKS = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: "[dim]not here[/]"}


def main() -> int:
    """Soak, and answer the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        options = Options.read(os.environ)
        workspace = Workspace(checkout=Path.cwd())
        with workspace.lock():
            workspace.empty()
            findings = _soak(workspace, options, console)
    except (OptionError, BusyError) as error:
        console.print(f"make soak: {error}", markup=False)
        return 2
    except (SetupError, ComputeError) as error:
        where = f"; see {error.log}" if isinstance(error, SetupError) and error.log else ""
        console.print(f"make soak: {error}{where}", markup=False)
        return 1
    except (KeyboardInterrupt, CancelledError):
        return 130
    passed = all(finding.kept is not False for finding in findings)
    _write(workspace.run / "soak.json", options, findings, passed=passed)
    _show(console, findings)
    console.print(f"{'All is well' if passed else 'Something is wrong'}; logs: {workspace.run / 'compute' / 'logs'}")
    return 0 if passed else 1


def _soak(workspace: Workspace, options: Options, console: Console) -> list[Finding]:
    account = Account(
        workspace=workspace, ports=Ports(0), engine=find_engine(os.environ), time_scale=options.time_scale
    )
    try:
        return Soak(account=account, options=options, say=console.print).run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        account.close()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _write(path: Path, options: Options, findings: Sequence[Finding], *, passed: bool) -> None:
    content = {**asdict(options), "passed": passed, "findings": [asdict(finding) for finding in findings]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _show(console: Console, findings: Sequence[Finding]) -> None:
    table = Table("promise", "kept", "seen")
    for finding in findings:
        table.add_row(finding.promise, _MARKS[finding.kept], finding.seen)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
