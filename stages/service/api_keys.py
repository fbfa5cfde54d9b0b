"""Secrets that hold API keys of the payment API itself."""

from aws_cdk import aws_kms as kms
from constructs import Construct

from stages.config.environment import EnvironmentConfig
from stages.database.credentials import NOT_CONFIGURED, ROTATION_BY_RESTART, GeneratedSecret


class LiveKey(GeneratedSecret):
    """Where `payments key create|rotate --to` stores a key for a person to pass on; until then it holds none."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(
            scope,
            construct_id,
            name=config.names.live_key,
            description="The API key that an administrator's command created last: api_key, id, merchant",
            key=key,
            known={"id": NOT_CONFIGURED, "merchant": NOT_CONFIGURED},
            generated="api_key",
            rotation="Holds the latest key only until its owner picks it up: `payments key rotate` stores the next one "
            "here (docs/operations.md#run-a-command-in-an-environment), and only its owner can start to use it.",
        )


class SmokeKey(GeneratedSecret):
    """The test-mode API key of the checks after a deployment: `sk_test_{id}_{secret}`. It cannot move money."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(
            scope,
            construct_id,
            name=config.names.smoke_key,
            description="Test-mode API key of the post-deployment checks: sk_test_{id}_{secret}",
            key=key,
            known={"id": f"smoke{config.environment_suffix.replace('-', '')}"},  # letters and digits only
            generated="secret",
            rotation=ROTATION_BY_RESTART,
        )
