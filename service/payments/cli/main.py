"""`python -m payments COMMAND`."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

import psycopg

from payments.cli import admin, oncall
from payments.cli.common import EXIT_REFUSED, CommandRefused
from payments.core.problems import ApiError
from payments.core.settings import Settings, SettingsError
from payments.observability import logs
from payments.repositories import database
from payments.repositories.database import DatabaseUnavailable
from payments.repositories.schema import SchemaOutdated
from payments.services.reconciliation import ReportError
from payments.services.stuck_attempts import ResolutionError

_log = logging.getLogger("payments.cli")
#: What an operator is told in words; anything else is a mistake of ours and ends in a traceback.
_REFUSALS = (CommandRefused, ResolutionError, ReportError, ApiError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="payments", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        sub_parser = commands.add_parser(name, help=command.description)
        command.add_arguments(sub_parser)
        sub_parser.set_defaults(run=command.run, log_to=command.log_to)
    parsed = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(
            environment=settings.environment, process=parsed.command, level=settings.log_level, stream=parsed.log_to()
        )
        code: int = parsed.run(settings, parsed)
    except (SettingsError, *_REFUSALS) as error:
        return _refuse(parsed.command, str(error))
    except (psycopg.Error, DatabaseUnavailable) as error:
        reason = (str(error).splitlines() or [""])[0]  # what follows may quote rows
        return _refuse(parsed.command, f"the database could not be used ({type(error).__name__}): {reason}")
    return code


def _refuse(command: str, reason: str) -> int:
    sys.stderr.write(f"payments {command}: {reason}\n")
    return EXIT_REFUSED


def _migrate(_: Settings, __: argparse.Namespace) -> int:
    from payments.cli.migrate import MigrationError, MigrationInputs, migrate

    try:
        migrate(MigrationInputs.from_environment(os.environ))
    except MigrationError as error:
        _log.error("migration failed: %s", error)
        return 1
    return 0


def _schema_fits(name: str) -> bool:
    """Whether process ``name`` may start; says why not. Before anything listens, so that it is never found healthy."""
    try:
        database.require_current_schema(name=f"payments-{name}-start")
    except SchemaOutdated as error:
        _log.error("not started: %s", error)
        return False
    return True


def _api(settings: Settings, _: argparse.Namespace) -> int:
    from payments.server.gunicorn_server import serve
    from payments.server.main import make_app

    if not _schema_fits("api"):
        return database.EXIT_DATABASE_UNUSABLE
    serve(settings, lambda: make_app(settings))
    return 0


def _worker(settings: Settings, _: argparse.Namespace) -> int:
    from payments.services.wiring import make_context
    from payments.worker.main import run

    if not _schema_fits("worker"):
        return database.EXIT_DATABASE_UNUSABLE
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    code = run(make_context(settings, name="worker"), stop, time_scale=settings.time_scale)
    logging.shutdown()
    sys.stdout.flush()
    # The interpreter would wait for the threads of pools, for ever if one hangs; the worker has waited long enough.
    os._exit(code)


def _no_arguments(_: argparse.ArgumentParser) -> None:
    """The command takes none."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. ``run`` answers the exit code."""

    run: Callable[[Settings, argparse.Namespace], int]
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments
    #: Where its log goes: beside the result of a command, or, of a process without one, to standard output.
    log_to: Callable[[], TextIO] = lambda: sys.stderr


def _output() -> TextIO:
    return sys.stdout


_COMMANDS = {
    "migrate": Command(run=_migrate, description="bring the schema up to this release", log_to=_output),
    "api": Command(run=_api, description="serve the API over HTTPS on BIND_HOST and PORT", log_to=_output),
    "worker": Command(
        run=_worker, description="settle open attempts, deliver webhooks, seal the ledger", log_to=_output
    ),
    "merchant": Command(run=admin.merchant, description="make merchants", add_arguments=admin.add_merchant_arguments),
    "key": Command(
        run=admin.key, description="make, rotate and revoke API keys", add_arguments=admin.add_key_arguments
    ),
    "stuck": Command(run=oncall.stuck, description="list attempts that only a person can settle"),
    "resolve": Command(
        run=oncall.resolve,
        description="settle an attempt by evidence",
        add_arguments=oncall.add_resolve_arguments,
    ),
    "ledger": Command(run=oncall.ledger, description="verify the ledger", add_arguments=oncall.add_ledger_arguments),
    "reconcile": Command(
        run=oncall.reconcile,
        description="compare a processor's report with our books",
        add_arguments=oncall.add_reconcile_arguments,
    ),
}
