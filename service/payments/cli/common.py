"""What the administrators' and on-call commands share: exit codes, the acting person, output.

They run on a machine or in a one-off container (docs/operations.md). The result goes to standard output as JSON lines,
everything else to standard error.
"""

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from payments.core.operator_errors import OperatorError
from payments.core.settings import Settings
from payments.repositories import database

if TYPE_CHECKING:
    from payments.services.context import Context

#: The command succeeded, and nothing needs a person.
EXIT_OK = 0
#: The command succeeded and found something to look at: stuck attempts, differences, a ledger that does not add up.
EXIT_FOUND = 1
#: The command failed, and nothing was done; standard error says why and what to do.
EXIT_FAILED = 2
#: The database did not confirm the command: it may have been carried out.
EXIT_UNKNOWN = 4
#: Stopped by Ctrl-C, as shells report it.
EXIT_INTERRUPTED = 130
#: Set by ECS in every task, whose output is kept in a log.
_METADATA = "ECS_CONTAINER_METADATA_URI_V4"
_CLOUD_VARIABLES = (_METADATA, "AWS_EXECUTION_ENV")
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_METADATA_TIMEOUT = 2.0
#: Seconds; the database may have to resume first.
_POOL_TIMEOUT = 30.0
_POOL_SIZE = 4


class CommandError(OperatorError):
    """The command cannot be carried out; the message says why and what to do."""


@contextmanager
def command_context(settings: Settings, *, name: str) -> "Iterator[Context]":
    """Yield the context of command ``name``, and close its connections afterwards.

    Raises:
        ConnectionFailure: There is no connection to the database.
        SchemaOutdated: The schema is older than this release.
    """
    # Imported here: `migrate` does not need it.
    from payments.services.wiring import make_context

    database.probe(name=f"payments-{name}", deadline=_POOL_TIMEOUT)
    context = make_context(settings, name=name, pool_size=_POOL_SIZE, pool_timeout=_POOL_TIMEOUT)
    try:
        yield context
    finally:
        context.close()


def in_cloud(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process runs on AWS, where its output is kept in a log."""
    return any(environ.get(name) for name in _CLOUD_VARIABLES)


def add_actor_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--actor``, which every command that changes something takes."""
    parser.add_argument("--actor", type=_actor_name, help="your name for the audit log; required in the cloud")


def _actor_name(value: str) -> str:
    if _ACTOR.fullmatch(value) is None:
        raise argparse.ArgumentTypeError("takes 1 to 64 letters, digits and . _ @ + -, such as ann or ann@example.com")
    return value


def actor(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> str:
    """Return who acts, for the audit log: ``cli:NAME``, followed by the ECS task if there is one.

    A container does not know whose credentials started it, but CloudTrail does: its RunTask event names the caller and
    the task.

    Raises:
        CommandError: ``--actor`` is missing in the cloud.
    """
    name: str | None = arguments.actor
    if not in_cloud(environ):
        return f"cli:{name or _user()}"
    if name is None:
        raise CommandError("--actor is required here: the audit log records it.")
    return f"cli:{name} task:{_task_id(environ.get(_METADATA))}"


def print_result(row: Mapping[str, object]) -> None:
    """Write one line of the result to standard output."""
    sys.stdout.write(json.dumps(row, default=str) + "\n")
    sys.stdout.flush()  # now, while a caller can still roll back what nobody has read


def print_summary(text: str) -> None:
    """Write a line for the operator to standard error."""
    sys.stderr.write(text + "\n")


def _user() -> str:
    """Return the user's name; a container's user may only have a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _task_id(metadata: str | None) -> str:
    """Return the ID of the ECS task that this process runs in, from the task's metadata endpoint."""
    if metadata is None:
        return "unknown"
    import requests  # here, since only administrators in the cloud need it

    try:
        arn = requests.get(f"{metadata}/task", timeout=_METADATA_TIMEOUT).json()["TaskARN"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"ECS did not return the task's ID ({type(error).__name__}). Try again.") from error
    return str(arn).rpartition("/")[2]
