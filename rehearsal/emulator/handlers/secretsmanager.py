"""Secrets Manager: secrets with generated values."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rehearsal.emulator.core.api_shapes import to_api
from rehearsal.emulator.core.properties import Properties
from rehearsal.emulator.handlers.base import Request, Resource, WrappingHandler


class Secret(WrappingHandler):
    """A secret; Ref returns its ARN, and a generated value follows all rules of `GenerateSecretString`.

    The emulator's own handler knows only the length and the excluded characters; its API knows all rules.
    """

    type_name = "AWS::SecretsManager::Secret"

    def create(self, request: Request) -> Resource:
        """Create the secret, with a generated value if the template has rules for one."""
        return self._with_arn(self.emulated.create(self._with_value(request)))

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update the secret; its value only if the rules changed."""
        if old.get("GenerateSecretString") != request.properties.get("GenerateSecretString"):
            request = self._with_value(request)
        request = replace(request, properties=_without_rules(request.properties))
        return self._with_arn(self.emulated.update(_name(resource_id), _without_rules(old), request))

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the secret without a recovery window, as CloudFormation does."""
        self.emulated.delete(_name(resource_id), properties)

    @staticmethod
    def _with_arn(resource: Resource) -> Resource:
        return Resource(id=resource.attributes["Arn"], attributes=resource.attributes)

    def _with_value(self, request: Request) -> Request:
        rules = request.properties.get("GenerateSecretString")
        if rules is None or request.properties.get("SecretString"):
            return request
        value = self._generate(rules)
        return replace(request, properties={**_without_rules(request.properties), "SecretString": value})

    def _generate(self, rules: Mapping[str, Any]) -> str:
        client = self.context.session.client("secretsmanager")
        template = rules.get("SecretStringTemplate")
        policy = {
            name: value for name, value in rules.items() if name not in {"SecretStringTemplate", "GenerateStringKey"}
        }
        value = client.get_random_password(**to_api(client, "GetRandomPassword", policy))["RandomPassword"]
        if template is None:
            return value
        return json.dumps({**json.loads(template), rules["GenerateStringKey"]: value})


def _name(arn: str) -> str:
    """Return the name in an ARN, which ends with the name, a hyphen and six characters."""
    return arn.rsplit(":", 1)[-1][:-7]


def _without_rules(properties: Properties) -> Properties:
    return {name: value for name, value in properties.items() if name != "GenerateSecretString"}
