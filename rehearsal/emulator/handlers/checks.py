"""Checks around the handlers of every type: what CloudFormation and AWS refuse, whatever the type."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError
from rehearsal.emulator.authorization.cloudformation import LockoutError, StackAuthorization
from rehearsal.emulator.authorization.handler_calls import Operation
from rehearsal.emulator.authorization.named_principals import InvalidPrincipalError, refuse_unknown_principals
from rehearsal.emulator.authorization.resource_arns import own_arn
from rehearsal.emulator.authorization.service_calls import (
    DeferredServiceCalls,
    DeployedResource,
    require_at_creation,
)
from rehearsal.emulator.authorization.stack_roles import requested_stack
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.handlers.base import HandlerContext
from rehearsal.emulator.handlers.names import NAMED_TYPES, refuse_existing
from rehearsal.emulator.handlers.schemas import refuse_invalid


class Checks:
    """The checks around the handlers of every type."""

    def __init__(
        self,
        context: HandlerContext,
        *,
        authority: Authority,
        authorization: StackAuthorization,
        service_calls: DeferredServiceCalls,
    ) -> None:
        self._context = context
        self._authority = authority
        self._authorization = authorization
        self._service_calls = service_calls

    def wrap(self, type_name: str, functions: Mapping[str, Any]) -> dict[str, Any]:
        """Return the functions of a type's handler with the checks around them."""

        def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
            refuse_invalid(type_name, properties)
            if type_name in NAMED_TYPES:
                refuse_existing(self._context.session, type_name, properties)
            self._authorize(
                Operation(
                    name="create",
                    type_name=type_name,
                    properties=properties,
                    stack_name=stack_name,
                    logical_id=logical_id,
                )
            )
            created = functions["create"](logical_id, properties, stack_name)
            self._remember(type_name, created[0], properties, stack_name)
            return created

        def update(resource_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, *names: Any) -> Any:
            refuse_invalid(type_name, new)
            self._authorize(
                Operation(
                    name="update",
                    type_name=type_name,
                    properties=new,
                    before=old,
                    stack_name=stack_name,
                    logical_id=names[0] if names else "",
                    resource_id=resource_id,
                )
            )
            updated = functions["update"](resource_id, old, new, stack_name, *names)
            self._remember(type_name, updated[0], new, stack_name)
            return updated

        def delete(resource_id: str, properties: dict[str, Any], *names: Any) -> Any:
            with _as_resource_error():
                self._authorization.require(
                    Operation(
                        name="delete",
                        type_name=type_name,
                        properties=properties,
                        stack_name=self._authorization.stack_of(type_name, resource_id),
                        resource_id=resource_id,
                    )
                )
            deleted = functions["delete"](resource_id, properties, *names)
            self._service_calls.forget(type_name, resource_id)
            return deleted

        checks = {"create": create, "update": update, "delete": delete}
        return {**functions, **{name: check for name, check in checks.items() if name in functions}}

    def before_custom_resource(self, type_name: str, properties: Mapping[str, Any], stack_name: str) -> None:
        """Authorize the invocation of a custom resource's function."""
        with _as_resource_error():
            self._authorization.require(
                Operation(name="update", type_name=type_name, properties=properties, stack_name=stack_name)
            )

    def before_parameter(self, name: str) -> None:
        """Authorize a template's read of an SSM parameter, in the request that creates or updates a stack.

        Raises:
            ValueError: It is denied; the emulator returns a ValidationError, as CloudFormation does.

        """
        try:
            self._authorization.require_references(requested_stack(), [f"{{{{resolve:ssm:{name}}}}}"])
        except AccessDeniedError as error:
            raise ValueError(str(error)) from error

    def _authorize(self, operation: Operation) -> None:
        with _as_resource_error():
            refuse_unknown_principals(operation.type_name, operation.properties)
            self._authorization.require_references(operation.stack_name, ministack.dynamic_references())
            self._authorization.require(operation)
            if self._authorization.applies_to(operation.stack_name):
                require_at_creation(
                    self._authority, _deployed(operation.type_name, operation.properties, operation.resource_id)
                )

    def _remember(self, type_name: str, resource_id: str, properties: Properties, stack_name: str) -> None:
        self._authorization.remember(type_name, resource_id, stack_name)
        self._authority.keys.remember(type_name, resource_id, properties)
        self._service_calls.remember(_deployed(type_name, properties, resource_id), resource_id)


def _deployed(type_name: str, properties: Properties, resource_id: str | None) -> DeployedResource:
    arn = own_arn(type_name, properties, resource_id=resource_id)
    return DeployedResource(type_name=type_name, properties=properties, arn=arn)


@contextmanager
def _as_resource_error() -> Iterator[None]:
    """Turn a refusal into the reason of a stack event, as CloudFormation words it."""
    try:
        yield
    except (AccessDeniedError, InvalidPrincipalError, LockoutError) as error:
        raise ResourceError(f"Resource handler returned message: {error}") from error
