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

# Not `payments_app`: the migrations make a group role of that name, and the application's user joins it.
OWNER_USER, APPLICATION_USER = "payments_owner", "payments_service"
NOT_CONFIGURED = "not-configured"

#: Why Secrets Manager does not rotate them itself, and who does. Read by the reviewer of docs/security.md.
_OWNER_ROTATION = (
    "Read only by the migrate container at the start of a task, never by what serves requests; an operator rotates it "
    "(docs/operations.md#rotate-a-secret), since a rotation function would need the owner's rights around the clock."
)
_RESTART_ROTATION = (
    "Tasks read it when they start, after migrate has set it in the database: a new value takes effect when an "
    "operator replaces them (docs/operations.md#rotate-a-secret). A rotation function would cut running tasks off at "
    "any hour."
)
_LIVE_KEY_ROTATION = (
    "A letter box: `payments key rotate` puts the next key there (docs/operations.md#run-a-command-in-an-environment), "
    "and only its owner can start to use it."
)
_PROCESSOR_ROTATION = "Issued by the processor: an operator rotates it there first, then here."


class GeneratedSecret(secretsmanager.Secret):
    """A secret of some known fields and one of 48 random letters and digits, which nobody has ever seen."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        description: str,
        key: kms.IKey,
        known: dict[str, str],
        generated: str,
        rotation: str,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            secret_name=name,
            description=description,
            encryption_key=key,
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
            self,
            dict.fromkeys(("AwsSolutions-SMG4", "NIST.800.53.R5-SecretsManagerRotationEnabled"), rotation),
        )


class LiveKey(GeneratedSecret):
    """Where `payments key create|rotate --to` leaves a key for a person to hand on; until then it holds no key."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(
            scope,
            construct_id,
            name=config.names.live_key,
            description="The API key that an administrator's command made last: api_key, id, merchant",
            key=key,
            known={"id": NOT_CONFIGURED, "merchant": NOT_CONFIGURED},
            generated="api_key",
            rotation=_LIVE_KEY_ROTATION,
        )


class SmokeKey(GeneratedSecret):
    """The test-mode API key of the checks after a deployment: `sk_test_{id}_{secret}`. It can move no money."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(
            scope,
            construct_id,
            name=config.names.smoke_key,
            description="Test-mode API key of the post-deployment checks: sk_test_{id}_{secret}",
            key=key,
            known={"id": smoke_key_id(config.environment_suffix)},
            generated="secret",
            rotation=_RESTART_ROTATION,
        )


@dataclass(frozen=True, kw_only=True)
class SecretArns:
    """Complete ARNs, as the consumers need them."""

    owner: str
    application: str
    processor: str


class Secrets(Construct):
    """Owner and application credentials of the database, and the processor's keys."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        names = config.names
        self.owner = GeneratedSecret(
            self,
            "Owner",
            key=key,
            rotation=_OWNER_ROTATION,
            name=names.name("db-credentials"),
            description="Database owner: runs migrations, nothing else",
            known={"username": OWNER_USER},
            generated="password",
        )
        self.application = GeneratedSecret(
            self,
            "Application",
            key=key,
            rotation=_RESTART_ROTATION,
            name=names.name("db-app-credentials"),
            description="Database role of the api and the worker: no DDL, ledger append-only",
            known={"username": APPLICATION_USER},
            generated="password",
        )
        self.processor = GeneratedSecret(
            self,
            "Processor",
            key=key,
            rotation=_PROCESSOR_ROTATION,
            name=names.name("processor-keys"),
            description="Payment processor: api_key and webhook_secret, filled in by an operator",
            known={"api_key": NOT_CONFIGURED},
            generated="webhook_secret",  # random until it is set, so that nobody can sign a webhook meanwhile
        )
        self.arns = SecretArns(
            owner=self.owner.secret_arn,
            application=self.application.secret_arn,
            processor=self.processor.secret_arn,
        )


def smoke_key_id(suffix: str) -> str:
    """The public part of the smoke checks' API key: letters and digits only, as the key's format wants."""
    return f"smoke{suffix.replace('-', '')}"


def imported(scope: Construct, construct_id: str, arn: str) -> secretsmanager.ISecret:
    """A secret of another stack, by complete ARN; the consumer states its own permissions."""
    return secretsmanager.Secret.from_secret_complete_arn(scope, construct_id, arn)
