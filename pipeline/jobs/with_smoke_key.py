"""Runs a command with the smoke checks' API key: `python -m pipeline.jobs.with_smoke_key COMMAND [ARGUMENT...]`.

The key is read with a role of the environment's account that exists for this purpose, so that the step is the same for
every account. The key is in the command's environment only: it is never printed or written.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.jobs.credentials import assume_role
from pipeline.jobs.trust import trust_variables

ROLE, SECRET, REGION = "SMOKE_ROLE_ARN", "SMOKE_SECRET_NAME", "SMOKE_REGION"


class SmokeKeyError(Exception):
    """The key cannot be read; the message gives the cause and the remedy."""


def read_smoke_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the key with the role that `environ` names; return the variables that `integ` reads.

    Raises:
        SmokeKeyError: a variable is missing, AWS denied access, or the secret is malformed.
    """
    missing = [name for name in (ROLE, SECRET, REGION) if not environ.get(name)]
    if missing:
        raise SmokeKeyError(f"{', '.join(missing)} is not set; the pipeline sets it in the smoke step's project.")
    role, name = environ[ROLE], environ[SECRET]
    try:
        session = assume_role(role, region=environ[REGION], session_name="smoke-checks")
        value = session.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        trust = trust_variables(environ, session.client("acm"))
    except (BotoCoreError, ClientError) as error:
        raise SmokeKeyError(
            f"secret {name} (or the certificate) could not be read as {role}: {error}. The environment's service stack "
            "creates secret and role."
        ) from error
    try:
        key = json.loads(value)
        return {**trust, "SMOKE_KEY_ID": key["id"], "SMOKE_KEY_SECRET": key["secret"]}
    except (ValueError, KeyError, TypeError):  # the value must not reach a log
        raise SmokeKeyError(f"secret {name} is not a JSON object with id and secret.") from None


def main(command: Sequence[str]) -> NoReturn:
    """Replace this process with `command`, or exit with a message if the key cannot be read."""
    if not command:
        sys.exit("Usage: python -m pipeline.jobs.with_smoke_key COMMAND [ARGUMENT...]")
    try:
        variables = read_smoke_key(os.environ)
    except SmokeKeyError as error:
        sys.exit(str(error))
    os.execvpe(command[0], list(command), {**os.environ, **variables})  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
