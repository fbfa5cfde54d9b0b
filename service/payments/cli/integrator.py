"""The commands of integrators: clients of an API, here or in any environment, in test mode."""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from payments.cli.common import EXIT_OK
from payments.client.api import Account, ApiClient, ClientError
from payments.client.listen import Listener, forward_url, signing_secret
from payments.client.terminal import Terminal
from payments.client.trigger import NOT_TRIGGERED, RECIPES, trigger
from payments.domain.events import EventType

_ENVIRONMENT = """\
environment variables:
  PAYMENTS_API_KEY      the test key, sk_test_...; no option, because other users of a machine can read arguments
  PAYMENTS_URL          as --url
  PAYMENTS_CA_FILE      as --ca-file
  NO_COLOR              no colours, also on a terminal
"""


def add_listen_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `payments listen`."""
    _add_account(parser)
    parser.add_argument(
        "--forward-to", metavar="URL", help="a URL on this machine that gets the events, as a webhook endpoint does"
    )
    parser.add_argument("--print-secret", action="store_true", help="only print the signing secret")


def run_listen(arguments: argparse.Namespace) -> int:
    """Run `payments listen`.

    Raises:
        ClientError: The API cannot be used, or not like this.
    """
    account = _account(arguments)
    secret = signing_secret(account.api_key)
    if arguments.print_secret:
        sys.stdout.write(secret + "\n")
        return EXIT_OK
    forward_to = forward_url(arguments.forward_to) if arguments.forward_to else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C
    terminal = Terminal(sys.stdout)
    try:
        Listener(ApiClient(account), terminal, forward_to=forward_to, secret=secret).run()
    except KeyboardInterrupt:
        terminal.line("> Stopped.")
    return EXIT_OK


def add_trigger_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `payments trigger`; its help lists the events and what is done for each."""
    _add_account(parser)
    parser.add_argument("event", metavar="EVENT", type=_event, help="the type of the event; they are listed below")
    width = max(len(each) for each in EventType) + 2
    lines = [f"  {each.value:{width}}{RECIPES[each]}" for each in EventType if each in RECIPES]
    refused = [f"  {each.value:{width}}{reason}" for each, reason in NOT_TRIGGERED.items()]
    listed = "\n".join(["events:", *lines, *refused, ""])
    parser.epilog = f"{listed}\n{parser.epilog}"


def run_trigger(arguments: argparse.Namespace) -> int:
    """Run `payments trigger`.

    Raises:
        ClientError: The API cannot be used, or answers something else than it should.
    """
    trigger(ApiClient(_account(arguments)), Terminal(sys.stdout), arguments.event)
    return EXIT_OK


def _event(text: str) -> EventType:
    try:
        event_type = EventType(text)
    except ValueError:
        raise argparse.ArgumentTypeError("takes one of " + ", ".join(RECIPES)) from None
    if event_type in NOT_TRIGGERED:
        raise argparse.ArgumentTypeError(f"{event_type.value} cannot be triggered: {NOT_TRIGGERED[event_type]}.")
    return event_type


def _add_account(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _ENVIRONMENT
    parser.add_argument("--url", help="where the API is, https://HOST[:PORT] (or PAYMENTS_URL)")
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        type=Path,
        help="certificates in PEM to trust besides the system's (or PAYMENTS_CA_FILE)",
    )


def _account(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Account:
    """Return the account; options come before environment variables.

    Raises:
        ClientError: Something is missing or cannot be used.
    """
    url = arguments.url or environ.get("PAYMENTS_URL", "")
    api_key = environ.get("PAYMENTS_API_KEY", "")
    missing = [name for name, value in (("PAYMENTS_URL", url), ("PAYMENTS_API_KEY", api_key)) if not value]
    if missing:
        raise ClientError(f"set {' and '.join(missing)}. After `make serve`, `make listen` and `make trigger` do.")
    ca_file = environ.get("PAYMENTS_CA_FILE")
    return Account(url=url, api_key=api_key, ca_file=arguments.ca_file or (Path(ca_file) if ca_file else None))
