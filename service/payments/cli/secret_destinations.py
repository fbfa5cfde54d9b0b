"""Where a command delivers a secret: to Secrets Manager, to a file or, outside the cloud only, to the terminal."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from payments.cli.common import CommandError, in_cloud, print_result

_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:(?P<region>[a-z0-9-]+):[0-9]{12}:secret:\S+")
_FILE = "file:"
_TERMINAL = "-"
#: Seconds to connect and to read, twice: less than the database allows a transaction to idle.
_TIMEOUT = 3
DESTINATION_HELP = (
    "where to deliver the key: the ARN of an existing secret, file:PATH (a new file that only you can read), or - for "
    "the terminal, outside the cloud"
)

#: Delivers a secret's fields.
Deliver = Callable[[Mapping[str, str]], None]


def destination(text: str) -> Deliver:
    """Return how to deliver a secret to ``text``, which is checked before a key is created.

    Raises:
        CommandError: ``text`` is not a destination, or not one that may be used here.
    """
    arn = _SECRET_ARN.fullmatch(text)
    if arn is not None:
        return lambda secret: _put_secret_value(text, arn["region"], secret)
    if text.startswith(_FILE):
        path = _new_file(text.removeprefix(_FILE))
        return lambda secret: _write_file(path, secret)
    if text == _TERMINAL:
        if in_cloud():
            raise CommandError("Output is logged here. Pass the ARN of a secret instead of -.")
        return print_result
    raise CommandError("--to takes the ARN of a secret, file:PATH or -.")


def _new_file(name: str) -> Path:
    path = Path(name)
    try:
        path.lstat()
    except FileNotFoundError as error:
        if not path.parent.is_dir():
            raise CommandError("--to file:PATH names a folder that does not exist.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        raise CommandError("--to file:PATH names no file that can be created.") from error
    else:
        raise CommandError("The file in --to already exists. Choose another one.")
    return path


def _put_secret_value(arn: str, region: str, secret: Mapping[str, str]) -> None:
    # Imported here because only this command needs it.
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    config = Config(connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"total_max_attempts": 2})
    # botocore generates its clients' methods at run time.
    client: Any = get_session().create_client("secretsmanager", region_name=region, config=config)
    try:
        client.put_secret_value(SecretId=arn, SecretString=json.dumps(dict(secret)))
    except (BotoCoreError, ClientError) as error:
        reason = type(error).__name__
        raise CommandError(
            f"Writing the secret failed ({reason}). It must exist, and the role needs secretsmanager:PutSecretValue."
        ) from error


def _write_file(path: Path, secret: Mapping[str, str]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"The file in --to cannot be created: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(dict(secret)) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise CommandError(f"The file in --to cannot be written: {error.strerror}.") from error
