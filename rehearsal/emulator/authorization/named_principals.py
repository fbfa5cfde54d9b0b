"""Principals that a policy names must exist when the policy is set: AWS turns them into ids at that moment.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html,
https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html (MalformedPolicyDocumentException),
https://repost.aws/knowledge-center/s3-invalid-principal-in-policy-error,
https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.authorization import documents
from rehearsal.emulator.authorization.passed_roles import SERVICE_LINKED
from rehearsal.emulator.authorization.properties import Properties


class InvalidPrincipalError(Exception):
    """A policy names a role or user that the account does not have; the message is the service's own, and its name."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a type keeps its policy, and what its service says of an unknown principal (`{principal}`)."""

    property_name: str
    message: str


_PLACES: Mapping[str, _Place] = {
    "AWS::ECR::Repository": _Place(
        property_name="RepositoryPolicyText",
        message="Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
    ),
    "AWS::IAM::Role": _Place(
        property_name="AssumeRolePolicyDocument", message='Invalid principal in policy: "AWS":"{principal}"'
    ),
    "AWS::KMS::Key": _Place(
        property_name="KeyPolicy", message="Policy contains a statement with one or more invalid principals."
    ),
    "AWS::Lambda::Permission": _Place(
        property_name="Principal",
        message="The provided principal was invalid. Please check the principal and try again.",
    ),
    "AWS::S3::BucketPolicy": _Place(property_name="PolicyDocument", message="Invalid principal in policy"),
    "AWS::SNS::TopicPolicy": _Place(
        property_name="PolicyDocument", message="Invalid parameter: Policy Error: PrincipalNotFound"
    ),
    "AWS::SQS::QueuePolicy": _Place(
        property_name="PolicyDocument", message="Invalid value for the parameter Policy. Reason: Policy is invalid."
    ),
    "AWS::SecretsManager::ResourcePolicy": _Place(
        property_name="ResourcePolicy",
        message="This resource policy contains an unsupported principal.",
    ),
}


def refuse_unknown_principals(type_name: str, properties: Properties) -> None:
    """Refuse a policy that names nobody.

    Raises:
        InvalidPrincipalError: a role or user of this account that it names does not exist.
    """
    place = _PLACES.get(type_name)
    policy = properties.get(place.property_name) if place else None
    if place is None or policy is None:
        return
    for principal in named_principals(policy):
        if not _is_known(principal):
            message = place.message.format(principal=principal)
            raise InvalidPrincipalError(f"{message} (the account has no {principal})")


def named_principals(policy: object) -> Iterator[str]:
    """Yield the ARNs that the statements of a policy name as principals; a policy may also be one ARN, or JSON."""
    if isinstance(policy, str) and not policy.lstrip().startswith("{"):
        yield policy
        return
    document: Mapping[str, Any] = json.loads(policy) if isinstance(policy, str) else policy  # type: ignore[assignment]
    statements = document.get("Statement", ())
    for statement in [statements] if isinstance(statements, Mapping) else statements:
        for element in ("Principal", "NotPrincipal"):
            principal = statement.get(element)
            names = principal.get("AWS", ()) if isinstance(principal, Mapping) else ()
            yield from [names] if isinstance(names, str) else names


def _is_known(principal: str) -> bool:
    """Tell whether AWS finds a principal; roots, services and other accounts' principals are taken to exist."""
    role = principal.startswith("arn:") and principal.split(":")[4] == backend.account_id()
    if not role or principal.endswith(":root") or SERVICE_LINKED in principal:
        return True
    return documents.exists(principal)
