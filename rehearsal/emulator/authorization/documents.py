"""The policy documents of the emulated account."""

import importlib
import json
import re
from collections.abc import Mapping
from typing import Any

from rehearsal.emulator.authorization.calls import Call, Policies
from rehearsal.emulator.authorization.evaluation import role_arn
from rehearsal.emulator.core import ministack

_PRINCIPAL = re.compile(r"^arn:aws[a-z-]*:iam::(\d{12}):(role|user)/(?:.*/)?([^/]+)$")

Document = Mapping[str, object]

#: For an alias identity policies decide alone; for its key the key policy decides as well.
_ON_ALIASES = frozenset({"kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"})


class UnknownPrincipalError(Exception):
    """The account does not have a role or user."""


def policies_for(call: Call) -> Policies:
    """Return the documents that decide a call.

    Raises:
        UnknownPrincipalError: The principal does not exist.

    """
    resource = resource_policy(call.action, call.resource)
    if call.is_by_service:
        return Policies(resource=resource)
    kind, name = principal_of(call.principal)
    entity = _entity(kind, name)
    boundary = entity.get("PermissionsBoundary")
    return Policies(
        identity=_identity(kind, name, entity),
        boundary=_managed(boundary) if boundary else None,
        resource=resource,
    )


def principal_of(principal: str) -> tuple[str, str]:
    """Return `role` or `user`, and the name.

    Raises:
        UnknownPrincipalError: The principal is neither.

    """
    match = _PRINCIPAL.match(role_arn(principal))
    if match is None:
        raise UnknownPrincipalError(f"{principal} is neither a role nor a user")
    return match[2], match[3]


def exists(principal: str) -> bool:
    """Return whether a role or user exists."""
    try:
        _entity(*principal_of(principal))
    except UnknownPrincipalError:
        return False
    return True


def roles() -> list[str]:
    """Return the ARN of every role of the account."""
    return sorted(role["Arn"] for role in _iam()._roles.values())


def resources_named_by(principal: str) -> list[str]:
    """Return the resources, patterns included, of all statements in the identity policies of a principal.

    Raises:
        UnknownPrincipalError: The principal does not exist.

    """
    kind, name = principal_of(principal)
    found = [
        statement.get("Resource", ())
        for document in _identity(kind, name, _entity(kind, name)).values()
        for statement in _statements(document)
    ]
    return [each for resources in found for each in ([resources] if isinstance(resources, str) else resources)]


def resource_policy(action: str, resource: str) -> Document | None:
    """Return a resource policy; None without one, or an empty document where IAM requires one.

    CloudWatch Logs has policies of the account, which apply to every log group.
    """
    service = action.partition(":")[0]
    if service == "sts":
        return trust_policy(resource)
    if service == "logs":
        return _log_policies()
    if not resource.startswith("arn:") or (action in _ON_ALIASES and ":alias/" in resource):
        return None
    found = _evaluator()._resource_policy(service, resource)
    document = _parsed(found[0]) if found else None
    return document or ({} if service == "kms" else None)


def role_tags(role: str) -> dict[str, str]:
    """Return the tags of a role as condition keys (`iam:ResourceTag/<key>`); none when it does not exist."""
    try:
        tags = _entity(*principal_of(role)).get("Tags") or ()
    except UnknownPrincipalError:
        return {}
    return {f"iam:ResourceTag/{tag['Key']}": tag["Value"] for tag in tags}


def trust_policy(role: str) -> Document | None:
    """Return the trust policy of a role; None when it does not exist."""
    try:
        return _parsed(_entity(*principal_of(role)).get("AssumeRolePolicyDocument"))
    except UnknownPrincipalError:
        return None


def _entity(kind: str, name: str) -> Mapping[str, Any]:
    store = _iam()._roles if kind == "role" else _iam()._users
    entity: Mapping[str, Any] | None = store.get(name)
    if entity is None:
        raise UnknownPrincipalError(f"the account has no {kind} {name}")
    return entity


def _identity(kind: str, name: str, entity: Mapping[str, Any]) -> dict[str, Document]:
    inline = entity.get("InlinePolicies") if kind == "role" else _iam()._user_inline_policies.get(name)
    documents = {title: _parsed(text) or {} for title, text in (inline or {}).items()}
    return documents | {arn: _managed(arn) for arn in entity.get("AttachedPolicies", ())}


def _managed(arn: str) -> Document:
    return _parsed(_evaluator()._resolve_managed_policy_document(arn, ministack.account_id())) or {}


def _log_policies() -> Document | None:
    policies: Any = importlib.import_module("ministack.services.cloudwatch_logs")._resource_policies
    statements = [
        statement
        for policy in list(policies.values())
        for statement in _statements(_parsed(policy["policyDocument"]) or {})
    ]
    return {"Version": "2012-10-17", "Statement": statements} if statements else None


def _statements(document: Document) -> list[Any]:
    found = document.get("Statement", [])
    return found if isinstance(found, list) else [found]


def _parsed(document: object) -> Document | None:
    if not document:
        return None
    parsed: Document = json.loads(document) if isinstance(document, str) else document  # type: ignore[assignment]  # JSON
    return parsed


def _iam() -> Any:
    return importlib.import_module("ministack.services.iam")


def _evaluator() -> Any:
    return importlib.import_module("ministack.core.iam_evaluator")
