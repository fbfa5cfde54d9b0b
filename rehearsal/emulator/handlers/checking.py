"""What CloudFormation and AWS refuse, before and after a handler does its work, whatever the type."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError
from rehearsal.emulator.authorization.cloudformation import LockoutError, StackAuthorization
from rehearsal.emulator.authorization.deliveries import DeferredDeliveries, Made, require_at_creation
from rehearsal.emulator.authorization.handler_calls import Operation
from rehearsal.emulator.authorization.named_principals import InvalidPrincipalError, refuse_unknown_principals
from rehearsal.emulator.authorization.resource_arns import own_arn
from rehearsal.emulator.authorization.stack_roles import requested_stack
from rehearsal.emulator.handlers.base import Account, Properties, ResourceError
from rehearsal.emulator.handlers.names import NAMED, refuse_existing
from rehearsal.emulator.handlers.schemas import refuse_invalid


class Checks:
    """The checks around the handlers of every type."""

    def __init__(
        self,
        account: Account,
        *,
        authority: Authority,
        authorization: StackAuthorization,
        deliveries: DeferredDeliveries,
    ) -> None:
        self._account = account
        self._authority = authority
        self._authorization = authorization
        self._deliveries = deliveries

    def around(self, type_name: str, functions: Mapping[str, Any]) -> dict[str, Any]:
        """Return a type's handler, in the emulator's form, with the checks around it."""

        def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
            refuse_invalid(type_name, properties)
            if type_name in NAMED:
                refuse_existing(self._account.session, type_name, properties)
            self._decide(
                Operation(
                    name="create",
                    type_name=type_name,
                    properties=properties,
                    stack_name=stack_name,
                    logical_id=logical_id,
                )
            )
            made = functions["create"](logical_id, properties, stack_name)
            self._take_in(type_name, made[0], properties, stack_name)
            return made

        def update(resource_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, *names: Any) -> Any:
            refuse_invalid(type_name, new)
            self._decide(
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
            made = functions["update"](resource_id, old, new, stack_name, *names)
            self._take_in(type_name, made[0], new, stack_name)
            return made

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
            answer = functions["delete"](resource_id, properties, *names)
            self._deliveries.forget(type_name, resource_id)
            return answer

        checks = {"create": create, "update": update, "delete": delete}
        return {**functions, **{name: check for name, check in checks.items() if name in functions}}

    def before_custom_resource(self, type_name: str, properties: Mapping[str, Any], stack_name: str) -> None:
        """Decide the call of the function behind a custom resource."""
        with _as_resource_error():
            self._authorization.require(
                Operation(name="update", type_name=type_name, properties=properties, stack_name=stack_name)
            )

    def before_parameter(self, name: str) -> None:
        """Decide the reading of a template's parameter from SSM, in the request that creates or changes a stack.

        Raises:
            ValueError: it is not allowed; the emulator answers a ValidationError, as CloudFormation does.
        """
        try:
            self._authorization.require_references(requested_stack(), [f"{{{{resolve:ssm:{name}}}}}"])
        except AccessDeniedError as error:
            raise ValueError(str(error)) from error

    def _decide(self, operation: Operation) -> None:
        with _as_resource_error():
            refuse_unknown_principals(operation.type_name, operation.properties)
            self._authorization.require_references(operation.stack_name, backend.dynamic_references())
            self._authorization.require(operation)
            if self._authorization.applies_to(operation.stack_name):
                require_at_creation(
                    self._authority, _made(operation.type_name, operation.properties, operation.resource_id)
                )

    def _take_in(self, type_name: str, resource_id: str, properties: Properties, stack_name: str) -> None:
        self._authorization.remember(type_name, resource_id, stack_name)
        self._authority.keys.remember(type_name, resource_id, properties)
        self._deliveries.remember(_made(type_name, properties, resource_id), resource_id)


def _made(type_name: str, properties: Properties, resource_id: str | None) -> Made:
    return Made(type_name=type_name, properties=properties, arn=own_arn(type_name, properties, resource_id=resource_id))


@contextmanager
def _as_resource_error() -> Iterator[None]:
    """Have a refusal become the stack event's reason, in the words of CloudFormation."""
    try:
        yield
    except (AccessDeniedError, InvalidPrincipalError, LockoutError) as error:
        raise ResourceError(f"Resource handler returned message: {error}") from error
