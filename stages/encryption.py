"""The environment's key: one customer-managed key for everything at rest.

It lives in the lowest stack, because it must outlive all that uses it and any other home makes stacks depend on each
other both ways. Its policy names each user; nothing in it ends in a wildcard.
"""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stages.naming import Names

#: What the account's administrators may do with the key, through their own IAM policies. Using it to read is not here.
ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)
#: What principals of the account may do when a service acts for them.
USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext",
       "kms:ReEncryptFrom", "kms:ReEncryptTo")  # fmt: skip
#: Services through which the account's principals use the key.
SERVICES = ("rds", "secretsmanager", "sns")


class EnvironmentKey(Construct):
    """A rotating key with an alias, deleted with the environment (AWS keeps it for 7 more days)."""

    def __init__(self, scope: Construct, construct_id: str, *, names: Names) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            alias=names.name("alias/key"),
            description=f"Everything at rest in environment {names.suffix}",
            enable_key_rotation=True,
            pending_window=Duration.days(7),
            removal_policy=RemovalPolicy.DESTROY,
            policy=iam.PolicyDocument(statements=_statements(names)),
        )


def key_as_is(scope: Construct, key: kms.IKey) -> kms.IKey:
    """The key as another stack may use it: CDK must not add statements of its own to its policy."""
    return kms.Key.from_key_arn(scope, "Key", key.key_arn)


def _statements(names: Names) -> list[iam.PolicyStatement]:
    account = iam.AccountPrincipal(names.account)
    via = [f"{service}.{names.region}.amazonaws.com" for service in SERVICES]
    logs = f"arn:aws:logs:{names.region}:{names.account}:log-group:"
    return [
        # The account itself, not a role: IAM decides who administers, and nobody can lock everybody out.
        _allow("Administration", account, ADMINISTRATION),
        _allow("UseThroughServices", account, USE, StringEquals={"kms:ViaService": via}),
        _allow(
            "GrantsForServices",
            account,
            ("kms:CreateGrant",),
            Bool={"kms:GrantIsForAWSResource": "true"},
            StringEquals={"kms:ViaService": via},
        ),
        _allow(
            "LogGroups",
            iam.ServicePrincipal(f"logs.{names.region}.amazonaws.com"),
            (
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ),
            ArnEquals={"kms:EncryptionContext:aws:logs:arn": [f"{logs}{group}" for group in names.log_groups]},
        ),
        # Without this an alarm cannot publish to an encrypted topic, and fails in silence.
        _allow(
            "AlarmsToTopic",
            iam.ServicePrincipal("cloudwatch.amazonaws.com"),
            ("kms:Decrypt", "kms:GenerateDataKey"),
            StringEquals={"aws:SourceAccount": names.account},
        ),
    ]


def _allow(
    sid: str, principal: iam.IPrincipal, actions: tuple[str, ...], **conditions: dict[str, object]
) -> iam.PolicyStatement:
    """A statement of the key's policy, in which the resource `*` can only mean the key itself."""
    return iam.PolicyStatement(
        sid=sid, principals=[principal], actions=list(actions), resources=["*"], conditions=conditions
    )
