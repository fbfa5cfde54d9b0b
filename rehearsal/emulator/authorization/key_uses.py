"""What a customer-managed key must allow so that a resource can be encrypted with it.

`caller` are the actions that the service performs as whoever makes the resource (so that key policy and identity
policies must allow them, with `kms:ViaService`), besides those that the resource schema names; `service` are those
that the service performs in its own name, which AWS tries when the resource is made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.calls import Call, ContextValue
from rehearsal.emulator.authorization.keys import key_arn
from rehearsal.emulator.authorization.properties import Properties, values_at

_GRANT = ("kms:CreateGrant", "kms:DescribeKey")
_SECRET = ("kms:GenerateDataKey", "kms:Decrypt")
_LOGS = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey")


@dataclass(frozen=True, kw_only=True)
class _Use:
    """How a property that names a key is used; `encryption_context` is the key of the context with the ARN."""

    path: str
    via: str
    source: str
    caller: Sequence[str] = ()
    service: Sequence[str] = ()
    encryption_context: str | None = None


_USES: Mapping[str, Sequence[_Use]] = {
    "AWS::DynamoDB::Table": (
        _Use(
            path="SSESpecification.KMSMasterKeyId",
            via="dynamodb",
            caller=(*_GRANT, "kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"),
            source="https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html",
        ),
    ),
    "AWS::ECR::Repository": (
        _Use(
            path="EncryptionConfiguration.KmsKey",
            via="ecr",
            caller=_GRANT,
            source="https://docs.aws.amazon.com/AmazonECR/latest/userguide/encryption-at-rest.html",
        ),
    ),
    "AWS::EFS::FileSystem": (
        _Use(
            path="KmsKeyId",
            via="elasticfilesystem",
            caller=(*_GRANT, "kms:GenerateDataKeyWithoutPlaintext", "kms:Decrypt"),
            source="https://docs.aws.amazon.com/efs/latest/ug/EFSKMS.html",
        ),
    ),
    "AWS::Lambda::Function": (
        _Use(
            path="KmsKeyArn",
            via="lambda",
            caller=("kms:CreateGrant", "kms:Encrypt", "kms:Decrypt"),
            source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html",
        ),
    ),
    "AWS::Logs::LogGroup": (
        _Use(
            path="KmsKeyId",
            via="logs",
            service=_LOGS,
            encryption_context="aws:logs:arn",
            source="https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html",
        ),
    ),
    "AWS::RDS::DBCluster": (
        _Use(
            path="KmsKeyId",
            via="rds",
            caller=_GRANT,
            source="https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Overview.Encryption.Keys.html",
        ),
        _Use(
            path="MasterUserSecret.KmsKeyId",
            via="secretsmanager",
            caller=(*_GRANT, *_SECRET),
            source="https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-secrets-manager.html",
        ),
        _Use(
            path="PerformanceInsightsKmsKeyId",
            via="rds",
            caller=(*_GRANT, *_SECRET),
            source="https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PerfInsights.access-control.html",
        ),
    ),
    "AWS::RDS::DBInstance": (
        _Use(
            path="KmsKeyId",
            via="rds",
            caller=_GRANT,
            source="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.Keys.html",
        ),
        _Use(
            path="PerformanceInsightsKMSKeyId",
            via="rds",
            caller=(*_GRANT, *_SECRET),
            source="https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PerfInsights.access-control.html",
        ),
    ),
    "AWS::SecretsManager::Secret": (
        _Use(
            path="KmsKeyId",
            via="secretsmanager",
            caller=_SECRET,
            encryption_context="SecretARN",
            source="https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html",
        ),
    ),
}


def uses_keys(type_name: str) -> bool:
    """Tell whether it is known how resources of a type use keys."""
    return type_name in _USES


def key_calls(
    type_name: str, properties: Properties, *, principal: str, own: str | None, actions: Sequence[str]
) -> Iterator[Call]:
    """Yield what is done with the keys of a resource when it is made or changed.

    `own` is the resource's ARN, and `actions` are the `kms:` actions that its schema names.
    """
    for use in _USES.get(type_name, ()):
        for name in values_at(properties, use.path):
            if name.startswith("alias/aws/"):
                continue  # AWS's own key for a service lets everybody use it through that service
            key = key_arn(name)
            encryption = _encryption(use, own)
            service = f"{use.via}.{backend.region()}.amazonaws.com"
            caller = {**encryption, "kms:CallerAccount": backend.account_id(), "kms:ViaService": service}
            for action in dict.fromkeys((*use.caller, *actions)):
                grant = {"kms:GrantIsForAWSResource": "true"} if action == "kms:CreateGrant" else {}
                yield Call(principal=principal, action=action, resource=key, context={**caller, **grant})
            for action in use.service:
                yield Call(principal=service, action=action, resource=key, context=encryption)


def _encryption(use: _Use, own: str | None) -> dict[str, ContextValue]:
    if use.encryption_context is None or own is None:
        return {}
    return {f"kms:EncryptionContext:{use.encryption_context}": own}
