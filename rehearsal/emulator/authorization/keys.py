"""Which key of the account encrypts what: the emulator does not keep that for every kind of resource."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.emulator import backend

Properties = Mapping[str, Any]


def _bucket_key(properties: Properties) -> object:
    rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", ())
    found = (rule.get("ServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for rule in rules)
    return next((key for key in found if key), None)


_KEY_PROPERTY: Mapping[str, Callable[[Properties], object]] = {
    "AWS::S3::Bucket": _bucket_key,
    "AWS::SecretsManager::Secret": lambda properties: properties.get("KmsKeyId"),
    "AWS::SNS::Topic": lambda properties: properties.get("KmsMasterKeyId"),
}


class EncryptionKeys:
    """Filled by CloudFormation as it makes resources."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, str] = {}

    def remember(self, type_name: str, resource_id: str, properties: Properties) -> None:
        """Take in a resource that was made or changed."""
        find = _KEY_PROPERTY.get(type_name)
        if find is None:
            return
        key, arn = find(properties), resource_id if resource_id.startswith("arn:") else f"arn:aws:s3:::{resource_id}"
        with self._lock:
            if isinstance(key, str) and not key.startswith("alias/aws/"):
                self._keys[arn] = key_arn(key)
            else:
                self._keys.pop(arn, None)

    def key_of(self, arn: str) -> str | None:
        """Return the ARN of the key of a resource, or of the bucket of an object; None without a key of the account."""
        owner = arn.partition("/")[0] if arn.startswith("arn:aws:s3:::") else arn
        with self._lock:
            return self._keys.get(owner)


def key_arn(key: str) -> str:
    """Return the ARN of a key that is named by ARN, id or alias."""
    if key.startswith("arn:"):
        return key
    name = key if key.startswith("alias/") else f"key/{key}"
    return f"arn:aws:kms:{backend.region()}:{backend.account_id()}:{name}"
