"""The calls that CloudFormation makes for an operation on a resource."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rehearsal.emulator.authorization import documents
from rehearsal.emulator.authorization.calls import Call, ContextValue
from rehearsal.emulator.authorization.handler_permissions import CONNECTIONS, CUSTOM, needed_actions
from rehearsal.emulator.authorization.key_usage import key_calls, uses_keys
from rehearsal.emulator.authorization.passed_roles import linked_role, passed_roles
from rehearsal.emulator.authorization.resource_arns import ResourceArns, any_of_its_kind, arns_of
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, arns_in, service_of, value_at, values_at

#: Calls of which one must be allowed: several only where the resource of the call is not known.
Alternatives = Sequence[Call]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation on a resource."""

    #: `create`, `update` or `delete`.
    name: str
    type_name: str
    properties: Properties
    stack_name: str = ""
    logical_id: str = ""
    resource_id: str | None = None
    #: The previous properties of an update.
    before: Properties | None = None


@dataclass(frozen=True, kw_only=True)
class _Caller:
    principal: str
    operation: Operation
    arns: ResourceArns

    def call(self, action: str, resource: str, context: Mapping[str, ContextValue] | None = None) -> Call:
        return Call(principal=self.principal, action=action, resource=resource, context=context or {})


def handler_calls(principal: str, operation: Operation) -> Iterator[Alternatives]:
    """Yield the calls of an operation that a principal makes."""
    kind, properties = operation.type_name, operation.properties
    arns = arns_of(
        kind,
        properties,
        name=f"{operation.stack_name}-{operation.logical_id}-RANDOM1ID2",  # as CloudFormation generates names
        referred=tuple(arns_in(properties)),
        resource_id=operation.resource_id or (NEW_KEY if kind == "AWS::KMS::Key" else None),
    )
    caller = _Caller(principal=principal, operation=operation, arns=arns)
    if kind.startswith(CUSTOM):
        yield from _invocations(caller)
        return
    actions = needed_actions(kind, operation.name, properties, before=operation.before)
    with_keys = [action for action in actions if action.startswith("kms:")] if uses_keys(kind) else []
    for action in actions:
        if action not in with_keys:
            yield from _SPECIAL.get(action, _ordinary)(caller, action)
    if operation.name != "delete":
        for call in key_calls(kind, properties, principal=principal, own=arns.own, actions=with_keys):
            yield [call]


#: The id of a key that is about to be created.
NEW_KEY = "00000000-0000-0000-0000-000000000000"


def key_context() -> Mapping[str, ContextValue]:
    """Return the condition keys of every call on a key."""
    return {"kms:CallerAccount": ministack.account_id()}


def _ordinary(caller: _Caller, action: str) -> Iterator[Alternatives]:
    context = key_context() if action.startswith("kms:") else None
    resources = caller.arns.for_action(action)
    for resource in resources:
        yield [caller.call(action, resource, context)]
    if not resources:
        possible = any_of_its_kind(action, documents.resources_named_by(caller.principal))
        yield [caller.call(action, resource, context) for resource in possible]


def _on_passed_roles(caller: _Caller, action: str) -> Iterator[Alternatives]:
    for role in passed_roles(caller.operation.type_name, caller.operation.properties):
        context = {"iam:PassedToService": role.service} if action == "iam:PassRole" and role.service else None
        yield [caller.call(action, role.role, context)]


def _on_linked_role(caller: _Caller, action: str) -> Iterator[Alternatives]:
    linked = linked_role(caller.operation.type_name, caller.operation.properties)
    if linked:
        service, role = linked
        yield [caller.call(action, role, {"iam:AWSServiceName": service})]


def _on_attachment(caller: _Caller, action: str) -> Iterator[Alternatives]:
    for policy in _attached(caller):
        for role in caller.arns.for_action(action):
            yield [caller.call(action, role, {"iam:PolicyARN": policy})]


def _attached(caller: _Caller) -> Iterator[str]:
    """Yield the policies that are attached to a role, or the policy that is attached to roles."""
    if caller.operation.type_name == "AWS::IAM::Role":
        for properties in (caller.operation.properties, caller.operation.before or {}):
            yield from values_at(properties, "ManagedPolicyArns.*")
    elif caller.arns.own:
        yield caller.arns.own


def _on_connection(caller: _Caller, action: str) -> Iterator[Alternatives]:
    """Yield the call with the prefix of the connection's ARN; schemas have only the old prefix."""
    for arn in caller.arns.referred:
        if service_of(arn) in CONNECTIONS:
            yield [caller.call(f"{service_of(arn)}:{action.partition(':')[2]}", arn)]


def _invocations(caller: _Caller) -> Iterator[Alternatives]:
    """Yield the call of the function or topic of a custom resource."""
    token = value_at(caller.operation.properties, "ServiceToken")
    if token and token.startswith("arn:"):
        yield [caller.call("sns:Publish" if service_of(token) == "sns" else "lambda:InvokeFunction", token)]


#: Actions whose resource is not the resource itself, or that have condition keys.
_SPECIAL: Mapping[str, Callable[[_Caller, str], Iterator[Alternatives]]] = {
    "codestar-connections:PassConnection": _on_connection,
    "iam:AttachRolePolicy": _on_attachment,
    "iam:CreateServiceLinkedRole": _on_linked_role,
    "iam:DetachRolePolicy": _on_attachment,
    "iam:GetRole": _on_passed_roles,
    "iam:PassRole": _on_passed_roles,
}
