"""Validation of the principals in policies: they must exist when a policy is set, since AWS stores their ids.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html,
https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html (MalformedPolicyDocumentException),
https://repost.aws/knowledge-center/s3-invalid-principal-in-policy-error,
https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.emulator.authorization import documents
from rehearsal.emulator.authorization.passed_roles import SERVICE_LINKED
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties


class InvalidPrincipalError(Exception):
    """A policy names a role or user that does not exist; the message is that of the service, with the principal."""


@dataclass(frozen=True, kw_only=True)
class _PolicyProperty:
    """The property of a type with its policy, and the service's message about an unknown principal."""

    property_name: str
    message: str


_POLICY_PROPERTIES: Mapping[str, _PolicyProperty] = {
    "AWS::ECR::Repository": _PolicyProperty(
        property_name="RepositoryPolicyText",
        message="Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
    ),
    "AWS::IAM::Role": _PolicyProperty(
        property_name="AssumeRolePolicyDocument", message='Invalid principal in policy: "AWS":"{principal}"'
    ),
    "AWS::KMS::Key": _PolicyProperty(
        property_name="KeyPolicy", message="Policy contains a statement with one or more invalid principals."
    ),
    "AWS::Lambda::Permission": _PolicyProperty(
        property_name="Principal",
        message="The provided principal was invalid. Please check the principal and try again.",
    ),
    "AWS::S3::BucketPolicy": _PolicyProperty(property_name="PolicyDocument", message="Invalid principal in policy"),
    "AWS::SNS::TopicPolicy": _PolicyProperty(
        property_name="PolicyDocument", message="Invalid parameter: Policy Error: PrincipalNotFound"
    ),
}


def refuse_unknown_principals(type_name: str, properties: Properties) -> None:
    """Refuse a policy that names a principal which does not exist.

    Raises:
        InvalidPrincipalError: It names one.

    """
    known = _POLICY_PROPERTIES.get(type_name)
    policy = properties.get(known.property_name) if known else None
    if known is None or policy is None:
        return
    for principal in named_principals(policy):
        if not _is_known(principal):
            message = known.message.format(principal=principal)
            raise InvalidPrincipalError(f"{message} (the account has no {principal})")


def named_principals(policy: object) -> Iterator[str]:
    """Yield the ARNs of the principals in a policy, which may also be JSON text or a single ARN."""
    if isinstance(policy, str) and not policy.lstrip().startswith("{"):
        yield policy
        return
    document: Mapping[str, Any] = json.loads(policy) if isinstance(policy, str) else policy  # type: ignore[assignment]  # JSON
    statements = document.get("Statement", ())
    for statement in [statements] if isinstance(statements, Mapping) else statements:
        for element in ("Principal", "NotPrincipal"):
            principal = statement.get(element)
            names = principal.get("AWS", ()) if isinstance(principal, Mapping) else ()
            yield from [names] if isinstance(names, str) else names


def _is_known(principal: str) -> bool:
    """Return whether a principal exists; roots, services and principals of other accounts are assumed to."""
    role = principal.startswith("arn:") and principal.split(":")[4] == ministack.account_id()
    if not role or principal.endswith(":root") or SERVICE_LINKED in principal:
        return True
    return documents.exists(principal)
