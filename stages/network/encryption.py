"""The environment's key: one customer-managed key for everything at rest.

It lives in the lowest stack because it must outlive everything that uses it, and any other home would make stacks
depend on each other in both directions. Its policy names each user and contains no wildcard action.
"""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from kit.encryption import USE, administration, encrypt_log_groups, key_statement, rotating_key
from stages.config.environment import EnvironmentConfig

#: Services through which principals of the account may use the key.
SERVICES = ("rds", "secretsmanager", "sns")
#: What CloudWatch Logs needs to encrypt a log group.
_LOG_ENCRYPTION = tuple(action for action in USE if action != "kms:GenerateDataKeyWithoutPlaintext")


class EnvironmentKey(Construct):
    """A rotating key with an alias, deleted with the environment."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig) -> None:
        super().__init__(scope, construct_id)
        account = iam.AccountPrincipal(config.account)
        via_service = {"kms:ViaService": [f"{service}.{config.region}.amazonaws.com" for service in SERVICES]}
        self.key: kms.Key = rotating_key(
            self,
            alias=config.names.name("alias/key"),
            description=f"Encrypts everything at rest in environment {config.environment_suffix}",
            statements=[
                administration(config),
                key_statement("UseThroughServices", account, USE, {"StringEquals": via_service}),
                key_statement(
                    "GrantsForServices",
                    account,
                    ["kms:CreateGrant"],
                    {"Bool": {"kms:GrantIsForAWSResource": "true"}, "StringEquals": via_service},
                ),
                encrypt_log_groups(config, config.names.log_groups, _LOG_ENCRYPTION),
                # Without this an alarm cannot publish to an encrypted topic, and fails silently.
                key_statement(
                    "AlarmsToTopic",
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    ["kms:Decrypt", "kms:GenerateDataKey"],
                    {"StringEquals": {"aws:SourceAccount": config.account}},
                ),
            ],
        )
