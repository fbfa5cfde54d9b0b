"""`python -m payments COMMAND`."""

import argparse
import logging
import os
import signal
import sys
import threading

from payments import logs
from payments.settings import Settings, SettingsError

_log = logging.getLogger("payments.cli")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="payments", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (run, description) in _COMMANDS.items():
        command = commands.add_parser(name, help=description)
        command.set_defaults(run=run)
    parsed = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"payments {parsed.command}: {error}\n")
        return 2
    logs.configure(environment=settings.environment, process=parsed.command, level=settings.log_level)
    code: int = parsed.run(settings, parsed)
    return code


def _migrate(_: Settings, __: argparse.Namespace) -> int:
    from payments.migration import MigrationError, MigrationInputs, migrate

    try:
        migrate(MigrationInputs.from_environment(os.environ))
    except MigrationError as error:
        _log.error("migration failed: %s", error)
        return 1
    return 0


def _api(settings: Settings, _: argparse.Namespace) -> int:
    from payments.server import serve
    from payments.web.main import make_app

    serve(settings, lambda: make_app(settings))
    return 0


def _worker(settings: Settings, _: argparse.Namespace) -> int:
    from payments.assembly import make_context
    from payments.worker.main import run

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return run(make_context(settings, name="worker"), settings, stop)


_COMMANDS = {
    "migrate": (_migrate, "bring the schema up to this release"),
    "api": (_api, "serve the API over HTTPS on BIND_HOST and PORT"),
    "worker": (_worker, "settle open attempts, deliver webhooks, seal the ledger"),
}
