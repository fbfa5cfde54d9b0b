"""Run a command with the smoke checks' API key in its environment: `python -m pipeline.jobs.with_smoke_key COMMAND...`.

The key is read through the role that the environment's own account offers for exactly this, so that the same step works
for the same and for another account. The key is in the command's environment only: it is not printed or written.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.jobs.trust import trust_variables

ROLE, SECRET, REGION = "SMOKE_ROLE_ARN", "SMOKE_SECRET_NAME", "SMOKE_REGION"


class SmokeKeyError(Exception):
    """The key cannot be read; the message says why and what to do."""


def read_smoke_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Become the role that `environ` names, read the secret, and answer the variables that `integ` wants.

    Raises:
        SmokeKeyError: a variable is missing, or AWS refused.
    """
    missing = [name for name in (ROLE, SECRET, REGION) if not environ.get(name)]
    if missing:
        raise SmokeKeyError(f"{', '.join(missing)} is not set; the pipeline sets it in the smoke step's project.")
    role, name = environ[ROLE], environ[SECRET]
    try:
        granted = boto3.client("sts", region_name=environ[REGION]).assume_role(
            RoleArn=role, RoleSessionName="smoke-checks", DurationSeconds=900
        )["Credentials"]
        reader: dict[str, Any] = {
            "region_name": environ[REGION],
            "aws_access_key_id": granted["AccessKeyId"],
            "aws_secret_access_key": granted["SecretAccessKey"],
            "aws_session_token": granted["SessionToken"],
        }
        value = boto3.client("secretsmanager", **reader).get_secret_value(SecretId=name)["SecretString"]
        trust = trust_variables(environ, boto3.client("acm", **reader))
    except (BotoCoreError, ClientError) as error:
        raise SmokeKeyError(
            f"secret {name} (or the certificate) could not be read as {role}: {error}. The environment's service stack "
            "makes secret and role."
        ) from error
    try:
        key = json.loads(value)
        return {**trust, "SMOKE_KEY_ID": key["id"], "SMOKE_KEY_SECRET": key["secret"]}
    except (ValueError, KeyError, TypeError):  # the value itself must not get into a log
        raise SmokeKeyError(f"secret {name} is not a JSON object with id and secret.") from None


def main(command: Sequence[str]) -> NoReturn:
    """Replace this process by `command`, or end it with a message when that is impossible."""
    if not command:
        sys.exit("Usage: python -m pipeline.jobs.with_smoke_key COMMAND [ARGUMENT...]")
    try:
        variables = read_smoke_key(os.environ)
    except SmokeKeyError as error:
        sys.exit(str(error))
    os.execvpe(command[0], list(command), {**os.environ, **variables})  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
