"""Commands for people on call: `payments stuck`, `resolve`, `ledger verify`, `reconcile`. Each answers JSON lines."""

import argparse
import getpass
import json
import logging
import sys
from pathlib import Path
from typing import Any

from payments.assembly import make_context
from payments.domain.outcomes import Outcome
from payments.services import ledger_books, oversight
from payments.services.oversight import RESOLUTIONS, OversightError, Resolution
from payments.settings import Settings

_log = logging.getLogger("payments.oncall")


def stuck(settings: Settings, _: argparse.Namespace) -> int:
    """List what only a person can settle; 1 if there is something."""
    found = oversight.list_stuck(make_context(settings, name="stuck"))
    for row in found:
        _print(row)
    return 1 if found else 0


def add_resolve_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `resolve`."""
    parser.add_argument("attempt", help="id of the attempt, from `payments stuck`")
    parser.add_argument("--outcome", required=True, choices=[outcome.value for outcome in RESOLUTIONS])
    parser.add_argument("--evidence", required=True, help="where the truth can be seen")
    parser.add_argument("--reference", help="the processor's id of the object, if it is known now")


def resolve(settings: Settings, arguments: argparse.Namespace) -> int:
    """Settle an attempt by evidence; 1 if that cannot be done."""
    resolution = Resolution(
        attempt_id=arguments.attempt,
        outcome=Outcome(arguments.outcome),
        evidence=arguments.evidence,
        actor=f"cli:{getpass.getuser()}",
        reference=arguments.reference,
    )
    try:
        oversight.resolve(make_context(settings, name="resolve"), resolution)
    except OversightError as error:
        return _refuse(error)
    return 0


def add_ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ledger`."""
    parser.add_argument("action", choices=["verify"])


def ledger(settings: Settings, _: argparse.Namespace) -> int:
    """Recompute the ledger; 1 if something does not add up."""
    report = ledger_books.verify(make_context(settings, name="verify").database)
    sys.stdout.write(report.as_json() + "\n")
    return 0 if report.is_sound else 1


def add_reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `reconcile`."""
    parser.add_argument("file", type=Path, help="CSV: kind,reference,currency,amount,fee,settled_on")
    parser.add_argument("--processor", required=True)
    parser.add_argument("--report", help="name of the report; the file's name if not given")
    parser.add_argument("--live", action="store_true", help="a report about live mode")


def reconcile(settings: Settings, arguments: argparse.Namespace) -> int:
    """Store a processor's report and list the differences; 1 if there are any."""
    try:
        with arguments.file.open(newline="") as rows:
            found = oversight.reconcile(
                make_context(settings, name="reconcile"),
                rows,
                processor=arguments.processor,
                livemode=arguments.live,
                report=arguments.report or arguments.file.name,
            )
    except (OSError, UnicodeDecodeError, OversightError) as error:
        return _refuse(error)
    for row in found:
        _print(row)
    return 1 if found else 0


def _print(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, default=str) + "\n")


def _refuse(error: Exception) -> int:
    sys.stderr.write(f"{error}\n")
    return 1
