"""Secrets of containers, resolved from Secrets Manager as the ECS agent does."""

import json
from collections.abc import Mapping

import boto3.session
from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.host.errors import TaskDefinitionError

_SECRET_ARN_PARTS = 7


class SecretResolver:
    """Resolves the references of a task's secrets through a boto3 session; blocking."""

    def __init__(self, session: boto3.session.Session) -> None:
        self._session = session

    def resolve(self, references: Mapping[str, str]) -> dict[str, str]:
        """Return the value of each variable.

        Raises:
            TaskDefinitionError: A secret or a JSON key does not exist; the message never has a value.

        """
        values = {}
        for name, reference in references.items():
            try:
                values[name] = self._value(reference)
            except (BotoCoreError, ClientError, LookupError, ValueError) as error:
                raise TaskDefinitionError(
                    f"ResourceInitializationError: secret {name} cannot be read from {reference}: {error}"
                ) from None
        return values

    def _value(self, reference: str) -> str:
        """Return the value of `arn:aws:secretsmanager:region:account:secret:name[:json-key::]`."""
        parts = reference.split(":")
        arn, (key, *version) = ":".join(parts[:_SECRET_ARN_PARTS]), parts[_SECRET_ARN_PARTS:] or [""]
        if any(version) or parts[2:3] != ["secretsmanager"]:
            raise ValueError("only current versions in Secrets Manager are supported by the rehearsal")
        text = self._session.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        if not key:
            return text
        fields = json.loads(text)
        if key not in fields:
            raise LookupError(f"its JSON has no key {key!r}; its keys are {', '.join(sorted(fields))}")
        return str(fields[key])
