"""Handlers that add something to the emulator's own handler of a type."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rehearsal.emulator.handlers.base import Account, Handler, Properties, Request, Resource


class EmulatedHandler:
    """The emulator's own handler of a type, in the form of ours."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions

    def create(self, request: Request) -> Resource:
        """Make the resource."""
        resource_id, attributes = self._functions["create"](
            request.logical_id, dict(request.properties), request.stack_name
        )
        return Resource(id=resource_id, attributes=attributes)

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the resource in place, or replace it, as the emulator does."""
        arguments = [resource_id, dict(old), dict(request.properties), request.stack_name]
        if self._functions.get("update_with_logical_id"):
            arguments.append(request.logical_id)
        new_id, attributes = self._functions["update"](*arguments)
        return Resource(id=new_id, attributes=attributes)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Remove the resource."""
        self._functions["delete"](resource_id, dict(properties))


class WrappingHandler(Handler):
    """A handler that calls the emulator's own one; `create` and `delete` do just that unless overridden."""

    def __init__(self, account: Account, emulated: EmulatedHandler) -> None:
        super().__init__(account)
        self.emulated = emulated

    def create(self, request: Request) -> Resource:
        """Make the resource."""
        return self.emulated.create(request)

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the resource."""
        return self.emulated.update(resource_id, old, request)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Remove the resource."""
        self.emulated.delete(resource_id, properties)


def with_properties(request: Request, properties: Properties) -> Request:
    """Return the same request for other properties."""
    return replace(request, properties=properties)
