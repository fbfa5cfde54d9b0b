"""Where the command line leaves a secret: a secret in the cloud, a file, or, outside the cloud only, the terminal."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from payments.cli.common import CommandRefused, in_the_cloud

_SECRETS_MANAGER = re.compile(r"arn:[a-z-]+:secretsmanager:(?P<region>[a-z0-9-]+):[0-9]{12}:secret:\S+")
_FILE = "file:"
_TERMINAL = "-"
#: Seconds to connect and to be answered, twice: less than the database lets a transaction wait.
_SECONDS = 3
HELP = (
    "where the key goes: the ARN of an existing secret, file:PATH (made anew, readable by you), or - outside the cloud"
)

Write = Callable[[Mapping[str, str]], None]


def destination(text: str) -> Write:
    """How to leave a secret at ``text``; checked before anything is made.

    Raises:
        CommandRefused: it is none, or not here.
    """
    arn = _SECRETS_MANAGER.fullmatch(text)
    if arn is not None:
        return lambda secret: _put(text, arn["region"], secret)
    if text.startswith(_FILE):
        path = Path(text.removeprefix(_FILE))
        if path.exists():
            raise CommandRefused(f"{path} exists. Name a file that does not.")
        return lambda secret: _write(path, secret)
    if text == _TERMINAL:
        if in_the_cloud():
            raise CommandRefused("What is printed here is kept in a log. Name a secret's ARN instead of -.")
        return _print
    raise CommandRefused("Name a secret's ARN, file:PATH or -.")


def _put(arn: str, region: str, secret: Mapping[str, str]) -> None:
    # Here, since no serving process needs it.
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    bounded = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 2})
    client: Any = get_session().create_client("secretsmanager", region_name=region, config=bounded)
    try:
        client.put_secret_value(SecretId=arn, SecretString=json.dumps(dict(secret)))
    except (BotoCoreError, ClientError) as error:
        reason = type(error).__name__
        raise CommandRefused(
            f"The secret could not be written ({reason}). It must exist, and the role needs PutSecretValue on it."
        ) from error


def _write(path: Path, secret: Mapping[str, str]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandRefused(f"{path} cannot be made: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(dict(secret)) + "\n")


def _print(secret: Mapping[str, str]) -> None:
    sys.stdout.write(json.dumps(dict(secret)) + "\n")
