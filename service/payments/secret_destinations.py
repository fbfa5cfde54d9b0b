"""Where the command line leaves a secret: a secret in the cloud, a file, or, outside the cloud only, the terminal."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_SECRETS_MANAGER = "arn:"
_FILE = "file:"
_TERMINAL = "-"
#: Set by ECS in every task: whatever is printed there is kept in a log.
_IN_THE_CLOUD = ("ECS_CONTAINER_METADATA_URI_V4", "AWS_EXECUTION_ENV")
HELP = (
    "where the key goes: the ARN of an existing secret, file:PATH (made anew, readable by you), or - outside the cloud"
)

Write = Callable[[Mapping[str, str]], None]


class DestinationRefused(Exception):  # noqa: N818  # told to the operator
    """A destination that cannot be used; the message says which can."""


def destination(text: str) -> Write:
    """How to leave a secret at ``text``; checked before anything is made.

    Raises:
        DestinationRefused: it is none, or not here.
    """
    if text.startswith(_SECRETS_MANAGER):
        return lambda secret: _put(text, secret)
    if text.startswith(_FILE):
        path = Path(text.removeprefix(_FILE))
        if path.exists():
            raise DestinationRefused(f"{path} exists. Name a file that does not.")
        return lambda secret: _write(path, secret)
    if text == _TERMINAL:
        if any(os.environ.get(name) for name in _IN_THE_CLOUD):
            raise DestinationRefused("What is printed here is kept in a log. Name a secret's ARN instead of -.")
        return _print
    raise DestinationRefused("Name a secret's ARN, file:PATH or -.")


def _put(arn: str, secret: Mapping[str, str]) -> None:
    # Here, since no serving process needs it.
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    region = arn.split(":")[3]
    client: Any = get_session().create_client("secretsmanager", region_name=region)
    try:
        client.put_secret_value(SecretId=arn, SecretString=json.dumps(dict(secret)))
    except (BotoCoreError, ClientError) as error:
        reason = type(error).__name__
        raise DestinationRefused(
            f"The secret could not be written ({reason}). It must exist, and the role needs PutSecretValue on it."
        ) from error


def _write(path: Path, secret: Mapping[str, str]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise DestinationRefused(f"{path} cannot be made: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(dict(secret)) + "\n")


def _print(secret: Mapping[str, str]) -> None:
    sys.stdout.write(json.dumps(dict(secret)) + "\n")
