"""`make soak MINUTES=15`: a deployed stage must not change while little happens.

It deploys the first stage as a rehearsal does, leaves it alone for half of the time, uses it lightly for the other
half, prints its findings and writes them to `.run/soak.json`. With `TIME_SCALE=20` intervals and their limits are that
many times shorter, and MINUTES pass as much faster.

Exit status: 0 every promise is kept, 1 one is broken, 2 invalid use, 130 interrupted.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.soak.findings import Finding
from local.soak.options import Options
from local.soak.soak import Soak
from rehearsal.cli.session import interrupt
from rehearsal.codepipeline.run_context import CancelledError
from rehearsal.ecr.container_engine import find_engine
from rehearsal.host.errors import RehearsalError
from rehearsal.host.lock import LockedError
from rehearsal.host.settings import SettingsError
from rehearsal.runner.emulated_account import EmulatedAccount, SetupError
from rehearsal.runner.ports import Ports
from rehearsal.runner.workspace import Workspace

_MARKS = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: "[dim]not here[/]"}


def main() -> int:
    """Soak; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        options = Options.read()
        workspace = Workspace(checkout=Path.cwd())
        with workspace.lock():
            workspace.empty()
            findings = _soak(workspace, options, console)
    except (SettingsError, LockedError) as error:
        console.print(f"make soak: {error}", markup=False)
        return 2
    except (SetupError, RehearsalError) as error:
        where = f"; see {error.log}" if isinstance(error, SetupError) and error.log else ""
        console.print(f"make soak: {error}{where}", markup=False)
        return 1
    except (KeyboardInterrupt, CancelledError):
        return 130
    passed = all(finding.kept is not False for finding in findings)
    _write(workspace.run / "soak.json", options, findings, passed=passed)
    _show(console, findings)
    console.print(
        f"{'Every promise is kept' if passed else 'A promise is broken'}; logs: {workspace.run / 'compute' / 'logs'}"
    )
    return 0 if passed else 1


def _soak(workspace: Workspace, options: Options, console: Console) -> list[Finding]:
    account = EmulatedAccount(
        workspace=workspace,
        ports=Ports(0),
        engine=find_engine(os.environ),
        time_scale=options.time_scale,
        extra_environment=options.environment,
    )
    try:
        return Soak(account=account, options=options, say=console.print).run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        account.close()


def _write(path: Path, options: Options, findings: Sequence[Finding], *, passed: bool) -> None:
    content = {**options.model_dump(), "passed": passed, "findings": [asdict(finding) for finding in findings]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _show(console: Console, findings: Sequence[Finding]) -> None:
    table = Table("promise", "kept", "seen")
    for finding in findings:
        table.add_row(finding.promise, _MARKS[finding.kept], finding.seen)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
