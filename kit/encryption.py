"""Customer-managed keys whose policies name each user and use.

CDK's default key policy lets the whole account do everything with a key; here administration and use are apart.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from kit.environment import TargetEnvironment

#: What administrators of the account may do with a key, through their own IAM policies. Decrypting is not included.
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
#: Every cryptographic use of a key.
USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext",
       "kms:ReEncryptFrom", "kms:ReEncryptTo")  # fmt: skip


def rotating_key(
    scope: Construct, *, alias: str | None, description: str, statements: Sequence[iam.PolicyStatement]
) -> kms.Key:
    """Create a key that rotates every year and is deleted with its stack (AWS keeps it for 7 more days)."""
    return kms.Key(
        scope,
        "Key",
        alias=alias,
        description=description,
        enable_key_rotation=True,
        pending_window=Duration.days(7),
        removal_policy=RemovalPolicy.DESTROY,
        policy=iam.PolicyDocument(statements=list(statements)),
    )


def key_statement(
    sid: str, principal: iam.IPrincipal, actions: Sequence[str], conditions: Mapping[str, object] | None = None
) -> iam.PolicyStatement:
    """Allow `actions` in a key policy, in which the resource `*` means the key itself."""
    return iam.PolicyStatement(
        sid=sid, principals=[principal], actions=list(actions), resources=["*"], conditions=conditions
    )


def administration(target: TargetEnvironment) -> iam.PolicyStatement:
    """Let the account administer the key.

    The principal is the account itself, not a role: IAM decides who administers, and nobody can lock everybody out.
    """
    return key_statement("Administration", iam.AccountPrincipal(target.account), ADMINISTRATION)


def encrypt_log_groups(
    target: TargetEnvironment, log_groups: Sequence[str], actions: Sequence[str]
) -> iam.PolicyStatement:
    """Let CloudWatch Logs use the key for these log groups, by name, and no others."""
    prefix = f"arn:aws:logs:{target.region}:{target.account}:log-group:"
    return key_statement(
        "LogGroups",
        iam.ServicePrincipal(f"logs.{target.region}.amazonaws.com"),
        actions,
        {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": [prefix + name for name in log_groups]}},
    )


def import_key(scope: Construct, key: kms.IKey) -> kms.IKey:
    """Import a key of another stack, so that CDK adds no statements of its own to the key's policy."""
    return kms.Key.from_key_arn(scope, "Key", key.key_arn)
