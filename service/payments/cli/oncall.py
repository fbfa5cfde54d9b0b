"""Commands for people on call: `payments stuck`, `resolve`, `ledger verify`, `reconcile`. Each answers JSON lines."""

import argparse

from payments.cli import common as commands
from payments.cli import report_sources as reports
from payments.cli.common import EXIT_FINE, EXIT_FOUND, CommandRefused
from payments.core.settings import PROCESSORS, Settings
from payments.domain.outcomes import Outcome
from payments.services import ledger_integrity, reconciliation, stuck_attempts
from payments.services.reconciliation import SettlementReport
from payments.services.stuck_attempts import RESOLUTIONS, Resolution


def stuck(settings: Settings, _: argparse.Namespace) -> int:
    """List what only a person can settle."""
    found = stuck_attempts.list_stuck(commands.context(settings, name="stuck"))
    for row in found:
        commands.show(row)
    commands.say(f"payments stuck: {len(found)} attempts need a person.")
    return EXIT_FOUND if found else EXIT_FINE


def add_resolve_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `resolve`."""
    parser.add_argument("attempt", help="id of the attempt, from `payments stuck`")
    parser.add_argument("--outcome", required=True, choices=[outcome.value for outcome in RESOLUTIONS])
    parser.add_argument("--evidence", required=True, help="where the truth can be seen")
    parser.add_argument("--reference", help="the processor's id of the object, if it is known only now")
    commands.add_actor_argument(parser)


def resolve(settings: Settings, arguments: argparse.Namespace) -> int:
    """Settle an attempt by evidence."""
    resolution = Resolution(
        attempt_id=arguments.attempt,
        outcome=Outcome(arguments.outcome),
        evidence=arguments.evidence,
        actor=commands.actor(arguments),
        reference=arguments.reference,
    )
    commands.show(stuck_attempts.resolve(commands.context(settings, name="resolve"), resolution))
    return EXIT_FINE


def add_ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ledger`."""
    actions = parser.add_subparsers(dest="action", required=True)
    verify = actions.add_parser("verify", help="recompute seals, roll-ups and payments' amounts")
    verify.add_argument(
        "--head", help="a head from the worker's log, which the chain must still contain: it finds a rewritten chain"
    )


def ledger(settings: Settings, arguments: argparse.Namespace) -> int:
    """Recompute the ledger."""
    report = ledger_integrity.verify(commands.context(settings, name="verify").database, expected_head=arguments.head)
    commands.show(report.as_dict())
    commands.say(f"payments ledger verify: {len(report.problems)} problems.")
    return EXIT_FINE if report.is_sound else EXIT_FOUND


def add_reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `reconcile`."""
    parser.add_argument("source", help=f"{reports.HELP}; CSV: {','.join(reconciliation.COLUMNS)}")
    parser.add_argument("--processor", required=True, choices=PROCESSORS)
    parser.add_argument("--report", help="name of the report; the file's name if not given")
    parser.add_argument("--live", action="store_true", help="a report about live mode")
    parser.add_argument("--replace", action="store_true", help="a corrected edition of a report of this name")
    commands.add_actor_argument(parser)


def reconcile(settings: Settings, arguments: argparse.Namespace) -> int:
    """Store a processor's report and list the differences."""
    name = arguments.report or reports.name_of(arguments.source)
    if not name:
        raise CommandRefused("Say what the report is called with --report: it is stored under that name.")
    report = SettlementReport(
        processor=arguments.processor, livemode=arguments.live, name=name, actor=commands.actor(arguments)
    )
    with reports.opened(arguments.source) as rows:
        lines = reconciliation.read(rows)
    context = commands.context(settings, name="reconcile")
    found = reconciliation.reconcile(context, report, lines, replace=arguments.replace)
    for row in found:
        commands.show(row)
    commands.say(f"payments reconcile: {len(lines)} lines compared, {len(found)} differences.")
    return EXIT_FOUND if found else EXIT_FINE
