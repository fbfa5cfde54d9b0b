"""The environment's secrets. All are generated: no value is ever in a template, a log or a person's hands.

A consumer in another stack imports a secret by its complete ARN (`imported`) and states its own permissions: a grant
from here would make the key's stack depend on the consumer's.
"""

import json
from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stages.acknowledgements import acknowledge
from stages.config import EnvironmentConfig

OWNER_USER, APPLICATION_USER = "payments_owner", "payments_app"
NOT_CONFIGURED = "not-configured"

_RELEASE = (
    "A new value takes effect with the next deployment: migrate sets the database's password and the tasks read it "
)
_ROTATION: dict[str, str] = {
    "owner": "Read only by the migrate container at the start of a task, never by what serves requests; rotated by an "
    "operator (docs/operations.md#rotate-a-secret), since a rotation function would need the owner's rights "
    "around the clock.",
    "application": _RELEASE + "at their start. Rotating between releases would cut running tasks off.",
    "processor": "Issued by the processor, so only an operator can rotate it, at the processor first.",
    "smoke": _RELEASE + "at their start. It is a test-mode key that can move no money.",
}


@dataclass(frozen=True, kw_only=True)
class SecretArns:
    """Complete ARNs, as the consumers need them."""

    owner: str
    application: str
    processor: str
    smoke: str


class Secrets(Construct):
    """Owner and application credentials of the database, the processor's keys, the smoke checks' API key."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self._key, names = key, config.names
        self.owner = self._generated(
            "owner",
            name=names.name("db-credentials"),
            description="Database owner: runs migrations, nothing else",
            known={"username": OWNER_USER},
            generated="password",
        )
        self.application = self._generated(
            "application",
            name=names.name("db-app-credentials"),
            description="Database role of the api and the worker: no DDL, ledger append-only",
            known={"username": APPLICATION_USER},
            generated="password",
        )
        self.processor = self._generated(
            "processor",
            name=names.name("processor-keys"),
            description="Payment processor: api_key and webhook_secret, filled in by an operator",
            known={"api_key": NOT_CONFIGURED},
            generated="webhook_secret",  # random until it is set, so that nobody can sign a webhook meanwhile
        )
        self.smoke = self._generated(
            "smoke",
            name=names.smoke_key,
            description="Test-mode API key of the post-deployment checks: sk_test_{id}_{secret}",
            known={"id": smoke_key_id(names.suffix)},
            generated="secret",
        )
        self.arns = SecretArns(
            owner=self.owner.secret_arn,
            application=self.application.secret_arn,
            processor=self.processor.secret_arn,
            smoke=self.smoke.secret_arn,
        )

    def _generated(
        self, kind: str, *, name: str, description: str, known: dict[str, str], generated: str
    ) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            kind.title(),
            secret_name=name,
            description=description,
            encryption_key=self._key,
            removal_policy=RemovalPolicy.DESTROY,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps(known),
                generate_string_key=generated,
                password_length=48,
                exclude_punctuation=True,
                include_space=False,
            ),
        )
        acknowledge(
            secret,
            dict.fromkeys(("AwsSolutions-SMG4", "NIST.800.53.R5-SecretsManagerRotationEnabled"), _ROTATION[kind]),
        )
        return secret


def smoke_key_id(suffix: str) -> str:
    """The public part of the smoke checks' API key: letters and digits only, as the key's format wants."""
    return f"smoke{suffix.replace('-', '')}"


def imported(scope: Construct, construct_id: str, arn: str) -> secretsmanager.ISecret:
    """A secret of another stack, by complete ARN; the consumer states its own permissions."""
    return secretsmanager.Secret.from_secret_complete_arn(scope, construct_id, arn)
