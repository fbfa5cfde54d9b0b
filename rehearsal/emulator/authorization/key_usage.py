"""The calls on a customer-managed key that encrypt a resource with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rehearsal.emulator.authorization.calls import Call, ContextValue
from rehearsal.emulator.authorization.keys import key_arn
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, values_at

_GRANT = ("kms:CreateGrant", "kms:DescribeKey")
_SECRET = ("kms:GenerateDataKey", "kms:Decrypt")
_LOGS = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey")


@dataclass(frozen=True, kw_only=True)
class _Use:
    """The use of a key that a property names."""

    #: The path of the property.
    path: str
    #: The prefix of the service.
    via: str
    #: The documentation.
    source: str
    #: Actions of the service in the name of whoever creates the resource (with `kms:ViaService`), so that key policy
    #: and identity policies must allow them, in addition to those in the resource schema.
    caller: Sequence[str] = ()
    #: Actions of the service in its own name, when the resource is created.
    service: Sequence[str] = ()
    #: The key of the encryption context with the ARN of the resource.
    encryption_context: str | None = None


_USES: Mapping[str, Sequence[_Use]] = {
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
    """Return whether the use of keys by a type is known."""
    return type_name in _USES


def key_calls(
    type_name: str, properties: Properties, *, principal: str, own: str | None, actions: Sequence[str]
) -> Iterator[Call]:
    """Yield the calls on the keys of a resource when it is created or updated.

    Args:
        type_name: Its type.
        properties: Its properties.
        principal: The principal of the stack.
        own: Its ARN, if it has one.
        actions: The `kms:` actions in its schema.

    """
    for use in _USES.get(type_name, ()):
        for name in values_at(properties, use.path):
            if name.startswith("alias/aws/"):
                continue  # the key of an AWS service may be used by everybody through that service
            key = key_arn(name)
            encryption = _encryption(use, own)
            service = f"{use.via}.{ministack.region()}.amazonaws.com"
            caller = {**encryption, "kms:CallerAccount": ministack.account_id(), "kms:ViaService": service}
            for action in dict.fromkeys((*use.caller, *actions)):
                grant = {"kms:GrantIsForAWSResource": "true"} if action == "kms:CreateGrant" else {}
                yield Call(principal=principal, action=action, resource=key, context={**caller, **grant})
            for action in use.service:
                yield Call(principal=service, action=action, resource=key, context=encryption)


def _encryption(use: _Use, own: str | None) -> dict[str, ContextValue]:
    if use.encryption_context is None or own is None:
        return {}
    return {f"kms:EncryptionContext:{use.encryption_context}": own}
