"""The database's credentials and the processor's keys. All are generated: no value is ever in a template or a log.

A consumer in another stack imports a secret by its complete ARN (`import_secret`) and states its own permissions: a
grant from here would make the key's stack depend on the consumer's.
"""

import json
from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from kit.acknowledgements import acknowledge
from stages.config.environment import EnvironmentConfig

# Not `payments_app`: the migrations create a group role of that name, which the application's user joins.
OWNER_USER, APPLICATION_USER = "payments_owner", "payments_service"
#: Placeholder of a value that an operator has to set.
NOT_CONFIGURED = "not-configured"

#: Why Secrets Manager does not rotate a secret, and who does; shown in docs/security.md.
_OWNER_ROTATION = (
    "Read only by the migrate container at the start of a task, never by a process that serves requests; an operator "
    "rotates it (docs/operations.md#rotate-a-secret), since a rotation function would need the owner's privileges "
    "around the clock."
)
ROTATION_BY_RESTART = (
    "Tasks read it when they start, after migrate has set it in the database: a new value takes effect when an "
    "operator replaces them (docs/operations.md#rotate-a-secret). A rotation function would disconnect running tasks "
    "at any hour."
)
_PROCESSOR_ROTATION = "Issued by the processor: an operator rotates it there first, then here."


class GeneratedSecret(secretsmanager.Secret):
    """A secret with known fields and one field of 48 random letters and digits, which nobody has ever seen."""

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
        """Create the secret.

        Args:
            scope: Parent construct.
            construct_id: Id in `scope`.
            name: Physical name.
            description: What the secret contains, for operators.
            key: Encrypts the secret.
            known: Fields with their values.
            generated: Name of the random field.
            rotation: Why Secrets Manager does not rotate it, and who does.
        """
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
        acknowledge(self, "AwsSolutions-SMG4", "NIST.800.53.R5-SecretsManagerRotationEnabled", reason=rotation)


@dataclass(frozen=True, kw_only=True)
class CredentialArns:
    """Complete ARNs of the secrets, by which other stacks import them."""

    #: Credentials of the database's owner.
    owner: str
    #: Credentials of the application's database user.
    application: str
    #: API key and webhook secret of the payment processor.
    processor: str


class Credentials(Construct):
    """Owner and application credentials of the database, and the processor's keys.

    Attributes:
        owner: Credentials of the database's owner.
        arns: Complete ARNs of all three secrets.
    """

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
        application = GeneratedSecret(
            self,
            "Application",
            key=key,
            rotation=ROTATION_BY_RESTART,
            name=names.name("db-app-credentials"),
            description="Database user of the api and the worker: no DDL, append-only ledger",
            known={"username": APPLICATION_USER},
            generated="password",
        )
        processor = GeneratedSecret(
            self,
            "Processor",
            key=key,
            rotation=_PROCESSOR_ROTATION,
            name=names.name("processor-keys"),
            description="Payment processor: api_key and webhook_secret, set by an operator",
            known={"api_key": NOT_CONFIGURED},
            generated="webhook_secret",  # random until it is set, so that nobody can sign a webhook in the meantime
        )
        self.arns = CredentialArns(
            owner=self.owner.secret_arn, application=application.secret_arn, processor=processor.secret_arn
        )


def import_secret(scope: Construct, construct_id: str, arn: str) -> secretsmanager.ISecret:
    """Import a secret of another stack by its complete ARN; the consumer states its own permissions."""
    return secretsmanager.Secret.from_secret_complete_arn(scope, construct_id, arn)
