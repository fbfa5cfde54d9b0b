"""What the commands of administrators and of people on call have in common: exit codes, who acts, connections.

They run on a machine or in a one-off container (docs/operations.md); either way standard output is their result, as
JSON lines, and standard error says the rest.
"""

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import requests

from payments.core.settings import Settings
from payments.services.context import Context
from payments.services.wiring import make_context

#: What was asked for is done, and nothing needs a person.
EXIT_FINE = 0
#: It is done, and there is something to look at: stuck attempts, differences, a ledger that does not add up.
EXIT_FOUND = 1
#: It could not be done; standard error says why and what to do.
EXIT_REFUSED = 2
#: Set by ECS in every task: whatever is printed there is kept in a log.
_METADATA = "ECS_CONTAINER_METADATA_URI_V4"
_IN_THE_CLOUD = (_METADATA, "AWS_EXECUTION_ENV")
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_METADATA_SECONDS = 2.0
#: A command may find a database that has just been woken up.
_POOL_SECONDS = 30.0
_POOL_SIZE = 4


class CommandRefused(Exception):  # noqa: N818  # told to the operator
    """The command cannot be carried out; the message says why and what to do."""


def context(settings: Settings, *, name: str) -> Context:
    """What a command works with."""
    return make_context(replace(settings, pool_size=_POOL_SIZE, pool_timeout=_POOL_SECONDS), name=name)


def in_the_cloud(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is printed here is kept in a log."""
    return any(environ.get(name) for name in _IN_THE_CLOUD)


def add_actor_argument(parser: argparse.ArgumentParser) -> None:
    """``--actor``, of every command that changes something."""
    parser.add_argument("--actor", help="who you are, for the audit log; must be said in the cloud")


def actor(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> str:
    """Who acts, for the audit log: ``cli:NAME``, followed by the task where there is one.

    A container does not know whose credentials started it. CloudTrail does: its RunTask event names them and the task.

    Raises:
        CommandRefused: nobody was named in the cloud, or the name cannot be used.
    """
    named: str | None = arguments.actor
    if named is not None and _ACTOR.fullmatch(named) is None:
        raise CommandRefused("--actor must be 1 to 64 letters, digits and . _ @ + -, such as ann or ann@example.com.")
    if not in_the_cloud(environ):
        return f"cli:{named or _user()}"
    if named is None:
        raise CommandRefused("Say who you are with --actor: the audit log keeps it.")
    return f"cli:{named} task:{_task(environ.get(_METADATA))}"


def show(row: Mapping[str, Any]) -> None:
    """Write one line of the result."""
    sys.stdout.write(json.dumps(row, default=str) + "\n")


def say(text: str) -> None:
    """Tell the operator something that is no part of the result."""
    sys.stderr.write(text + "\n")


def _user() -> str:
    """The user's name; a container's user has a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _task(metadata: str | None) -> str:
    """The id of the task that this process runs in, by the endpoint that ECS gives it."""
    if metadata is None:
        return "unknown"
    try:
        found = requests.get(f"{metadata}/task", timeout=_METADATA_SECONDS).json()["TaskARN"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise CommandRefused(f"ECS does not tell which task this is ({type(error).__name__}). Run it again.") from error
    return str(found).rpartition("/")[2]
