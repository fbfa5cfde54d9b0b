"""Secrets of a container, resolved as the ECS agent does it: Secrets Manager with JSON keys, and SSM parameters."""

import json
from collections.abc import Mapping
from typing import Any

import boto3.session
from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.compute.errors import TaskDefinitionError

_SECRET_ARN_PARTS = 7


class SecretResolver:
    """Reads `valueFrom` references through a boto3 session; blocking."""

    def __init__(self, session: boto3.session.Session) -> None:
        self._session = session

    def resolve(self, references: Mapping[str, str]) -> dict[str, str]:
        """Return the value for each variable.

        Raises:
            TaskDefinitionError: a reference names nothing, or a JSON key is missing; values are never in the message.
        """
        values = {}
        for name, reference in references.items():
            try:
                values[name] = self._value(reference)
            except (BotoCoreError, ClientError, LookupError, ValueError) as error:
                message = f"ResourceInitializationError: secret {name} from {reference} cannot be read: {error}"
                raise TaskDefinitionError(message) from None
        return values

    def _value(self, reference: str) -> str:
        if ":secretsmanager:" in reference:
            return self._secret(reference)
        name = reference.partition(":parameter")[2] or reference
        parameter = self._session.client("ssm").get_parameter(Name=name, WithDecryption=True)
        return parameter["Parameter"]["Value"]

    def _secret(self, reference: str) -> str:
        """Read `arn:aws:secretsmanager:region:account:secret:name[:json-key:version-stage:version-id]`."""
        parts = reference.split(":")
        arn = ":".join(parts[:_SECRET_ARN_PARTS])
        key, stage, version = [*parts[_SECRET_ARN_PARTS:], "", "", ""][:3]
        request: dict[str, Any] = {"SecretId": arn}
        if stage:
            request["VersionStage"] = stage
        if version:
            request["VersionId"] = version
        text = self._session.client("secretsmanager").get_secret_value(**request)["SecretString"]
        if not key:
            return text
        fields = json.loads(text)
        if key not in fields:
            raise LookupError(f"its JSON has no key {key!r}; it has {', '.join(sorted(fields))}")
        return str(fields[key])
