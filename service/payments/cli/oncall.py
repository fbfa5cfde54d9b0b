"""On-call commands: `payments stuck`, `resolve`, `unmapped`, `ledger verify`, `reconcile`. Each prints JSON lines."""

import argparse

from payments.cli import common, options, report_sources
from payments.cli.common import EXIT_FOUND, EXIT_OK, CommandError
from payments.core.settings import PROCESSORS, Settings
from payments.domain.ids import Prefix
from payments.domain.outcomes import Outcome
from payments.services import inbox, ledger_integrity, reconciliation, stuck_attempts
from payments.services.reconciliation import SettlementReport
from payments.services.stuck_attempts import RESOLUTIONS, Resolution

#: Characters of a processor's ID, and of a report's name.
_MAX_REFERENCE = 255


def stuck(settings: Settings, _: argparse.Namespace) -> int:
    """List the attempts that only a person can settle."""
    with common.command_context(settings, name="stuck") as context:
        attempts = stuck_attempts.list_stuck(context)
    for attempt in attempts:
        common.print_result(attempt)
    common.print_summary(f"payments stuck: {len(attempts)} attempts need a person.")
    return EXIT_FOUND if attempts else EXIT_OK


def add_resolve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `resolve`."""
    parser.add_argument(
        "attempt",
        type=options.identifier(Prefix.ATTEMPT, "an attempt's ID, from `payments stuck`"),
        help="the attempt's ID, from `payments stuck`",
    )
    parser.add_argument("--outcome", required=True, choices=[outcome.value for outcome in RESOLUTIONS])
    parser.add_argument("--evidence", required=True, type=options.text(), help="where the outcome can be verified")
    parser.add_argument(
        "--reference",
        type=options.text(_MAX_REFERENCE),
        help="the processor's ID of the object, if it was unknown until now",
    )
    common.add_actor_argument(parser)


def resolve(settings: Settings, arguments: argparse.Namespace) -> int:
    """Settle an attempt by evidence."""
    resolution = Resolution(
        attempt_id=arguments.attempt,
        outcome=Outcome(arguments.outcome),
        evidence=arguments.evidence,
        actor=common.actor(arguments),
        reference=arguments.reference,
    )
    with common.command_context(settings, name="resolve") as context:
        resolved = stuck_attempts.resolve(context, resolution)
    common.print_result(resolved)
    return EXIT_OK


def add_unmapped_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `unmapped`."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="list the processor events that cannot be mapped")
    retry = actions.add_parser("retry", help="have the worker look at one again")
    retry.add_argument("event", help="the event's ID, from `payments unmapped list`")
    resolve_event = actions.add_parser("resolve", help="mark one as dealt with")
    resolve_event.add_argument("event", help="the event's ID, from `payments unmapped list`")
    resolve_event.add_argument("--evidence", required=True, help="how the difference was dealt with")
    common.add_actor_argument(resolve_event)


def unmapped(settings: Settings, arguments: argparse.Namespace) -> int:
    """List, retry or resolve the processor events that cannot be mapped."""
    with common.command_context(settings, name="unmapped") as context:
        if arguments.action == "retry":
            inbox.retry(context, arguments.event)
            common.print_result({"event": arguments.event, "state": "open"})
            return EXIT_OK
        if arguments.action == "resolve":
            inbox.resolve(context, arguments.event, evidence=arguments.evidence, actor=common.actor(arguments))
            common.print_result({"event": arguments.event, "state": "resolved"})
            return EXIT_OK
        found = inbox.list_unmapped(context)
    for event in found:
        common.print_result(vars(event))
    common.print_summary(f"payments unmapped: {len(found)} processor events need a person.")
    return EXIT_FOUND if found else EXIT_OK


def add_ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ledger`."""
    actions = parser.add_subparsers(dest="action", required=True)
    verify = actions.add_parser("verify", help="recompute seals, roll-ups and the amounts of payments")
    verify.add_argument(
        "--head",
        type=options.head,
        help="a head from the worker's log that the chain must contain; detects a rewritten chain",
    )


def ledger(settings: Settings, arguments: argparse.Namespace) -> int:
    """Recompute the ledger."""
    with common.command_context(settings, name="verify") as context:
        report = ledger_integrity.verify(context, expected_head=arguments.head)
    common.print_result(report.as_dict())
    common.print_summary(f"payments ledger verify: {len(report.problems)} problems.")
    return EXIT_OK if report.is_sound else EXIT_FOUND


def add_reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `reconcile`."""
    parser.add_argument("source", help=f"{report_sources.SOURCE_HELP}; CSV: {','.join(reconciliation.COLUMNS)}")
    parser.add_argument("--processor", required=True, choices=PROCESSORS)
    parser.add_argument(
        "--report", type=options.text(_MAX_REFERENCE), help="the report's name (default: the file's name)"
    )
    parser.add_argument("--live", action="store_true", help="the report is for live mode")
    parser.add_argument("--replace", action="store_true", help="replace an earlier report of this name")
    common.add_actor_argument(parser)


def reconcile(settings: Settings, arguments: argparse.Namespace) -> int:
    """Store a processor's report and list its differences from the ledger."""
    name = arguments.report or report_sources.default_name(arguments.source)
    if not name:
        raise CommandError("--report is required with standard input: the report is stored under that name.")
    if len(name) > _MAX_REFERENCE or not name.isprintable():
        raise CommandError("The source's name cannot be stored. Name the report with --report.")
    report = SettlementReport(
        processor=arguments.processor, livemode=arguments.live, name=name, actor=common.actor(arguments)
    )
    with report_sources.open_report(arguments.source) as rows:
        lines = reconciliation.parse(rows, processor=report.processor)
    with common.command_context(settings, name="reconcile") as context:
        differences = reconciliation.reconcile(context, report, lines, replace=arguments.replace)
    for difference in differences:
        common.print_result(difference)
    common.print_summary(f"payments reconcile: {len(lines)} lines compared, {len(differences)} differences.")
    return EXIT_FOUND if differences else EXIT_OK
