"""Calls that another call implies: a service that encrypts or decrypts uses the key in the name of its caller.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html,
https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
"""

from collections.abc import Mapping, Sequence

from rehearsal.emulator.authorization.calls import Call
from rehearsal.emulator.authorization.keys import EncryptionKeys
from rehearsal.emulator.core import ministack

_KEY_ACTIONS: Mapping[str, Sequence[str]] = {
    "s3:GetObject": ("kms:Decrypt",),
    "s3:PutObject": ("kms:GenerateDataKey",),
    "secretsmanager:GetSecretValue": ("kms:Decrypt",),
    "secretsmanager:PutSecretValue": ("kms:Decrypt", "kms:GenerateDataKey"),
    "sns:Publish": ("kms:Decrypt", "kms:GenerateDataKey"),
}


def implied_calls(call: Call, keys: EncryptionKeys) -> list[Call]:
    """Return the calls of the same principal on the key of the resource, if that has a customer-managed key."""
    actions = _KEY_ACTIONS.get(call.action, ())
    key = keys.key_of(call.resource) if actions else None
    if key is None:
        return []
    service = call.action.partition(":")[0]
    context = {
        **{name: value for name, value in call.context.items() if name.lower().startswith("aws:source")},
        "kms:ViaService": f"{service}.{ministack.region()}.amazonaws.com",
        "kms:CallerAccount": ministack.account_id(),
    }
    if call.is_by_service:  # a service that calls in its own name uses the key directly
        del context["kms:ViaService"]
    return [Call(principal=call.principal, action=action, resource=key, context=context) for action in actions]
