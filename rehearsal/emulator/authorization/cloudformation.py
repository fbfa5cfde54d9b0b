"""CloudFormation's calls for one resource, decided before anything is made, changed or deleted.

What is decided, by whom and on what: the actions of `handler_permissions`, as the principal of the stack (its role,
else whoever changes it), each on the ARNs of `resource_arns`; roles that the resource passes (`passed_roles`); what
its keys are used for (`key_uses`); and what its dynamic references read.

Nobody is asked where the stack is the emulator's own root's.
"""

import threading
from collections.abc import Callable, Sequence

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call
from rehearsal.emulator.authorization.documents import Document
from rehearsal.emulator.authorization.handler_calls import NEW_KEY, Operation, handler_calls, key_context
from rehearsal.emulator.authorization.resource_arns import own_arn

_BY = "cloudformation"


class LockoutError(Exception):
    """A key policy under which whoever sets it could not change it again."""


class StackAuthorization:
    """Decides the operations of all stacks; `principal_of` tells who changes a stack, None for the emulator's root."""

    def __init__(self, authority: Authority, principal_of: Callable[[str], str | None]) -> None:
        self._authority = authority
        self._principal_of = principal_of
        self._lock = threading.Lock()
        self._stacks: dict[tuple[str, str, str], str] = {}

    def remember(self, type_name: str, resource_id: str, stack_name: str) -> None:
        """Learn which stack a resource belongs to: the emulator does not say when it deletes one."""
        with self._lock:
            self._stacks[backend.region(), type_name, resource_id] = stack_name

    def stack_of(self, type_name: str, resource_id: str) -> str:
        """Return the stack that a resource was made for."""
        with self._lock:
            return self._stacks.get((backend.region(), type_name, resource_id), "")

    def applies_to(self, stack_name: str) -> bool:
        """Tell whether anything of a stack is decided: not what the emulator's own root makes."""
        return self._principal_of(stack_name) is not None

    def require(self, operation: Operation) -> None:
        """Decide an operation.

        Raises:
            AccessDeniedError: something of it is not allowed.
            LockoutError: it would set a key policy that its principal could not change again.
        """
        principal = self._principal_of(operation.stack_name)
        if principal is None:
            return
        self._require_lasting_control(principal, operation)
        policy = _future_policy(operation)
        for alternatives in handler_calls(principal, operation):
            if len(alternatives) > 1:
                self._authority.require_any(alternatives, by=_BY)
                continue
            (call,) = alternatives
            self._authority.require(call, by=_BY, resource_policy=policy if ":key/" in call.resource else None)

    def require_references(self, stack_name: str, references: Sequence[str]) -> None:
        """Decide what a stack's dynamic references (`{{resolve:secretsmanager:<id>:...}}`) read.

        Raises:
            AccessDeniedError: a secret or parameter may not be read.
        """
        principal = self._principal_of(stack_name)
        if principal is None:
            return
        for reference in references:
            call = _reading(principal, reference)
            if call is not None:
                self._authority.require(call, by=_BY)

    def _require_lasting_control(self, principal: str, operation: Operation) -> None:
        """Refuse a key policy that nobody who sets it could change again.

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


def _future_policy(operation: Operation) -> Document | None:
    """Return the policy of a key that is only about to be made."""
    if operation.type_name != "AWS::KMS::Key" or operation.resource_id is not None:
        return None
    policy: Document | None = operation.properties.get("KeyPolicy")
    return policy


def _reading(principal: str, reference: str) -> Call | None:
    """Return the call behind a dynamic reference."""
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
