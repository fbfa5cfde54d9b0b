"""`python -m payments COMMAND`."""

import argparse
import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

import psycopg

from payments.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNKNOWN
from payments.core.operator_errors import OperatorError
from payments.core.problems import ApiError
from payments.core.settings import Settings
from payments.observability import logs
from payments.repositories import database
from payments.repositories.connection import CommitUnanswered
from payments.repositories.connection_failures import ConnectionFailure
from payments.repositories.database import DatabaseUnavailable
from payments.repositories.schema import SchemaOutdated

_log = logging.getLogger("payments.cli")
#: Errors whose message is meant for the operator; any other is a bug and ends in a traceback.
_OPERATOR_ERRORS = (OperatorError, ApiError)
#: The values in argparse's messages, after what they are said about.
_VALUES = re.compile(
    r"(unrecognized arguments|invalid choice|ignored explicit argument)(: .*(?= \(choose)|:? .*)", re.DOTALL
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors never repeat what was passed: it may be a secret, and errors are logged."""

    def __init__(self, **options: Any) -> None:  # Any: argparse's own options
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Exit with the usage and ``message``, without the values in it."""
        super().error(_VALUES.sub(r"\1", message))


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code.

    Raises:
        SystemExit: The arguments are wrong; standard error says what they take.
    """
    parsed = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _fail(parsed.command, "interrupted. What it has not reported may have been done.")
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.ENOSPC}:
            raise
        # Nobody reads the output, or it is full: Python would otherwise try to write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(parsed.command, f"the output cannot be written ({error.strerror}). What it would say may have been done.")
        return EXIT_UNKNOWN
    return code


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments; only the command that is called is loaded, since others need far more than `migrate`."""
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser = _Parser(prog="payments", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        sub_parser = commands.add_parser(name, help=command.description)
        if name == called:
            action = command.load()
            action.add_arguments(sub_parser)
            sub_parser.set_defaults(run=action.run, log_stream=command.log_stream, is_client=command.is_client)
    return parser.parse_args(arguments)


def _run(parsed: argparse.Namespace) -> int:
    """Run the command; return its exit code. What its operator has to know goes to standard error."""
    try:
        if parsed.is_client:
            return int(parsed.run(parsed))
        settings = Settings.from_environment()
        logs.configure(
            environment=settings.environment,
            process=parsed.command,
            level=settings.log_level,
            stream=parsed.log_stream(),
        )
        code: int = parsed.run(settings, parsed)
    except _OPERATOR_ERRORS as error:
        return _fail(parsed.command, str(error))
    except ConnectionFailure as error:
        return _fail(parsed.command, f"no connection to the database: {error}")
    except CommitUnanswered:
        _fail(parsed.command, "the database did not confirm it: it may have been done. Look before you repeat it.")
        return EXIT_UNKNOWN
    except (psycopg.Error, DatabaseUnavailable) as error:
        reason = (str(error).splitlines() or [""])[0]  # the following lines may quote rows
        return _fail(parsed.command, f"database error ({type(error).__name__}): {reason}")
    return code


def _fail(command: str, reason: str) -> int:
    sys.stderr.write(f"payments {command}: {reason}\n")
    return EXIT_FAILED


def _schema_is_current(process: str) -> bool:
    """Return whether ``process`` may start. Checked before anything listens, so it is never found healthy."""
    try:
        database.require_current_schema(name=f"payments-{process}-start")
    except SchemaOutdated as error:
        _log.error("not started: %s", error)
        return False
    return True


def _api(settings: Settings, _: argparse.Namespace) -> int:
    from payments.server.main import run

    if not _schema_is_current("api"):
        return database.EXIT_DATABASE_UNUSABLE
    return _exit_now(run(settings))


def _worker(settings: Settings, _: argparse.Namespace) -> int:
    from payments.services.wiring import make_context
    from payments.worker.main import run

    if not _schema_is_current("worker"):
        return database.EXIT_DATABASE_UNUSABLE
    stop = stop_on_signal()
    return _exit_now(run(make_context(settings, name="worker"), stop, time_scale=settings.time_scale))


def stop_on_signal() -> threading.Event:
    """Return an event that is set when the process is asked to end. To be called before other threads start.

    A thread of its own takes the signal. A handler runs on the main thread, also while that holds the event's lock to
    wait for it, and would then wait for that lock for ever.
    """
    signals = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    stop = threading.Event()

    def wait() -> None:
        signal.sigwait(signals)
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


def _exit_now(code: int) -> NoReturn:
    """Exit without joining threads, which takes forever if one hangs; the process has already waited for them."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _no_arguments(_: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes no arguments."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a command does. ``run`` returns the exit code; that of a client gets no settings."""

    run: Callable[[Settings, argparse.Namespace], int] | Callable[[argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command."""

    #: Imports what the command needs.
    load: Callable[[], Action]
    description: str
    #: Where it logs: a process to standard output, a command to standard error, next to its result.
    log_stream: Callable[[], TextIO] = lambda: sys.stderr
    #: Whether it only calls an API that may run anywhere: it has no environment of its own, and logs nothing.
    is_client: bool = False


def _migrate() -> Action:
    from payments.cli import migrate

    return Action(run=lambda *_: migrate.run())


def _merchant() -> Action:
    from payments.cli import admin

    return Action(run=admin.merchant, add_arguments=admin.add_merchant_arguments)


def _key() -> Action:
    from payments.cli import admin

    return Action(run=admin.key, add_arguments=admin.add_key_arguments)


def _stuck() -> Action:
    from payments.cli import oncall

    return Action(run=oncall.stuck)


def _resolve() -> Action:
    from payments.cli import oncall

    return Action(run=oncall.resolve, add_arguments=oncall.add_resolve_arguments)


def _unmapped() -> Action:
    from payments.cli import oncall

    return Action(run=oncall.unmapped, add_arguments=oncall.add_unmapped_arguments)


def _ledger() -> Action:
    from payments.cli import oncall

    return Action(run=oncall.ledger, add_arguments=oncall.add_ledger_arguments)


def _reconcile() -> Action:
    from payments.cli import oncall

    return Action(run=oncall.reconcile, add_arguments=oncall.add_reconcile_arguments)


def _listen() -> Action:
    from payments.cli import integrator

    return Action(run=integrator.run_listen, add_arguments=integrator.add_listen_arguments)


def _trigger() -> Action:
    from payments.cli import integrator

    return Action(run=integrator.run_trigger, add_arguments=integrator.add_trigger_arguments)


def _stdout() -> TextIO:
    return sys.stdout


_COMMANDS = {
    "migrate": Command(load=_migrate, description="migrate the schema to this release", log_stream=_stdout),
    "api": Command(
        load=lambda: Action(run=_api), description="serve the API over HTTPS on BIND_HOST and PORT", log_stream=_stdout
    ),
    "worker": Command(
        load=lambda: Action(run=_worker),
        description="settle open attempts, deliver webhooks, seal the ledger",
        log_stream=_stdout,
    ),
    "merchant": Command(load=_merchant, description="create merchants"),
    "key": Command(load=_key, description="create, rotate and revoke API keys"),
    "stuck": Command(load=_stuck, description="list attempts that only a person can settle"),
    "resolve": Command(load=_resolve, description="settle an attempt by evidence"),
    "unmapped": Command(load=_unmapped, description="list, retry and resolve processor events that cannot be mapped"),
    "ledger": Command(load=_ledger, description="verify the ledger"),
    "reconcile": Command(load=_reconcile, description="compare a processor's report with the ledger"),
    "listen": Command(load=_listen, description="show events as they happen, and forward them", is_client=True),
    "trigger": Command(load=_trigger, description="make an event happen in test mode", is_client=True),
}
