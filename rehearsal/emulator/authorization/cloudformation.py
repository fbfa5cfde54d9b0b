"""Authorization of CloudFormation's calls for a resource, before it is created, updated or deleted.

The principal is that of the stack: its role, or whoever deploys it. Authorized are the actions of `handler_permissions`
on the ARNs of `resource_arns`, the roles that the resource passes (`passed_roles`), the use of its keys (`key_usage`)
and the reads of its dynamic references. Stacks of the emulator's root are not authorized.
"""

import threading
from collections.abc import Callable, Sequence

from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call
from rehearsal.emulator.authorization.documents import Document
from rehearsal.emulator.authorization.handler_calls import NEW_KEY, Operation, handler_calls, key_context
from rehearsal.emulator.authorization.resource_arns import own_arn
from rehearsal.emulator.core import ministack

_BY = "cloudformation"


class LockoutError(Exception):
    """A key policy would lock out the principal that sets it."""


class StackAuthorization:
    """Authorizes the operations of all stacks.

    Args:
        authority: Authorizes the calls.
        principal_of: Returns the principal of a stack; None for the emulator's root.

    """

    def __init__(self, authority: Authority, principal_of: Callable[[str], str | None]) -> None:
        self._authority = authority
        self._principal_of = principal_of
        self._lock = threading.Lock()
        self._stacks: dict[tuple[str, str, str], str] = {}

    def remember(self, type_name: str, resource_id: str, stack_name: str) -> None:
        """Remember the stack of a resource, which the emulator does not pass to delete handlers."""
        with self._lock:
            self._stacks[ministack.region(), type_name, resource_id] = stack_name

    def stack_of(self, type_name: str, resource_id: str) -> str:
        """Return the stack of a resource."""
        with self._lock:
            return self._stacks.get((ministack.region(), type_name, resource_id), "")

    def applies_to(self, stack_name: str) -> bool:
        """Return whether a stack is authorized: not when it is the root's."""
        return self._principal_of(stack_name) is not None

    def require(self, operation: Operation) -> None:
        """Authorize an operation.

        Raises:
            AccessDeniedError: A call is denied.
            LockoutError: It would set a key policy that locks out its principal.

        """
        principal = self._principal_of(operation.stack_name)
        if principal is None:
            return
        self._refuse_lockout(principal, operation)
        policy = _new_key_policy(operation)
        for alternatives in handler_calls(principal, operation):
            if len(alternatives) > 1:
                self._authority.require_any(alternatives, by=_BY)
                continue
            (call,) = alternatives
            self._authority.require(call, by=_BY, resource_policy=policy if ":key/" in call.resource else None)

    def require_references(self, stack_name: str, references: Sequence[str]) -> None:
        """Authorize the reads of dynamic references (`{{resolve:secretsmanager:<id>:...}}`).

        Raises:
            AccessDeniedError: A read is denied.

        """
        principal = self._principal_of(stack_name)
        if principal is None:
            return
        for reference in references:
            call = _read_call(principal, reference)
            if call is not None:
                self._authority.require(call, by=_BY)

    def _refuse_lockout(self, principal: str, operation: Operation) -> None:
        """Refuse a key policy that the principal could not change again.

        Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
        (BypassPolicyLockoutSafetyCheck)
        """
        new = operation.properties.get("KeyPolicy")
        bypassed = str(operation.properties.get("BypassPolicyLockoutSafetyCheck", "")).lower() == "true"
        if operation.type_name != "AWS::KMS::Key" or operation.name == "delete" or new is None or bypassed:
            return
        key = own_arn("AWS::KMS::Key", operation.properties, resource_id=operation.resource_id or NEW_KEY)
        call = Call(principal=principal, action="kms:PutKeyPolicy", resource=key or "*", context=key_context())
        decision = self._authority.decide(call, by=_BY, resource_policy=new)
        if not decision.allowed:
            raise LockoutError(
                "The new key policy will not allow you to update the key policy in the future."
                f" {AccessDeniedError(decision)}"
            )


def _new_key_policy(operation: Operation) -> Document | None:
    """Return the policy of a key that is about to be created."""
    if operation.type_name != "AWS::KMS::Key" or operation.resource_id is not None:
        return None
    policy: Document | None = operation.properties.get("KeyPolicy")
    return policy


def _read_call(principal: str, reference: str) -> Call | None:
    """Return the call of a dynamic reference; None if it reads neither a secret nor a parameter."""
    _, service, rest = reference.strip("{}").split(":", 2)
    if service == "secretsmanager":
        secret = ":".join(rest.split(":")[:7]) if rest.startswith("arn:") else rest.split(":")[0]
        action = "secretsmanager:GetSecretValue"
        return Call(principal=principal, action=action, resource=_arn("AWS::SecretsManager::Secret", "Name", secret))
    if service in {"ssm", "ssm-secure"}:
        parameter = _arn("AWS::SSM::Parameter", "Name", rest.split(":")[0].lstrip("/"))
        return Call(principal=principal, action="ssm:GetParameters", resource=parameter)
    return None


def _arn(type_name: str, name_property: str, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return own_arn(type_name, {name_property: name}) or "*"
