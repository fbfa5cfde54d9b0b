"""The principal that CloudFormation acts as in each stack: the role that was passed to it, or the caller.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
"""

import importlib
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

_requested: ContextVar[str] = ContextVar("requested_stack", default="")

_OPERATIONS = ("CreateStack", "CreateChangeSet", "UpdateStack", "DeleteStack")


class StackRoles:
    """Tracks the role of each stack, which CloudFormation keeps with the stack."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles: dict[str, str] = {}

    def principal_of(self, stack_name: str) -> str | None:
        """Return the ARN of the role or user that deploys a stack; None for the emulator's root."""
        with self._lock:
            return self._roles.get(stack_name)

    def track(self, pass_role: Callable[[str, str], None]) -> None:
        """Track every request; `pass_role(caller, role)` authorizes those that pass a role."""
        module: Any = importlib.import_module("ministack.services.cloudformation")
        for operation in _OPERATIONS:
            module._ACTION_HANDLERS[operation] = self._tracking(module._ACTION_HANDLERS[operation], pass_role)

    def _tracking(
        self, original: Callable[[Mapping[str, Any]], Any], pass_role: Callable[[str, str], None]
    ) -> Callable[[Mapping[str, Any]], Any]:
        engine: Any = importlib.import_module("ministack.core.iam_evaluator")

        def handle(params: Mapping[str, Any]) -> object:
            caller = engine.caller_arn()
            stack, role = _value(params, "StackName"), _value(params, "RoleARN")
            if role and not caller.endswith(":root"):
                pass_role(caller, role)
            with self._lock:
                principal = role or (None if caller.endswith(":root") else caller)
                if principal and (role or stack not in self._roles):
                    self._roles[_name(stack)] = principal
            token = _requested.set(_name(stack))
            try:
                return original(params)
            finally:
                _requested.reset(token)

        return handle


def requested_stack() -> str:
    """Return the name of the stack that the current request creates or updates; empty in any other request."""
    return _requested.get()


def _value(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def _name(stack: str) -> str:
    """Return the name of a stack that is given by ARN or name."""
    return stack.split("/")[1] if stack.startswith("arn:") else stack
