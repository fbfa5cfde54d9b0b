"""The customer-managed keys of resources, which the emulator does not keep for every type."""

import threading
from collections.abc import Callable, Mapping

from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties


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
    """Keys by the ARN of the resource; CloudFormation adds them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, str] = {}

    def remember(self, type_name: str, resource_id: str, properties: Properties) -> None:
        """Remember the key of a resource that was created or updated."""
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
        """Return the ARN of the customer-managed key of a resource, or of an object's bucket, if it has one."""
        owner = arn.partition("/")[0] if arn.startswith("arn:aws:s3:::") else arn
        with self._lock:
            return self._keys.get(owner)


def key_arn(key: str) -> str:
    """Return the ARN of a key that is given by ARN, id or alias."""
    if key.startswith("arn:"):
        return key
    name = key if key.startswith("alias/") else f"key/{key}"
    return f"arn:aws:kms:{ministack.region()}:{ministack.account_id()}:{name}"
