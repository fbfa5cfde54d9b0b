"""The interface of a CloudFormation handler, and what handlers may use."""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import boto3.session

from rehearsal.account import sessions
from rehearsal.account.records import Records
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.core.runtime_client import RuntimeClient


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource: `id` is its physical id, the value of Ref; `attributes` are the values of Fn::GetAtt."""

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The desired state of a resource in a stack."""

    stack_name: str
    logical_id: str
    properties: Properties

    def name(self, property_name: str, *, limit: int = 255) -> str:
        """Return the name in a property; without one, a name as CloudFormation generates it."""
        name = self.properties.get(property_name)
        if name:
            return str(name)
        digest = hashlib.sha256(f"{self.stack_name}/{self.logical_id}".encode()).hexdigest()[:12]
        return f"{self.stack_name}-{self.logical_id}"[: limit - 13] + f"-{digest}"


class HandlerContext:
    """What handlers share; account and region are those of the stack that is being deployed."""

    def __init__(self, *, port: int, records: Records, runtime: RuntimeClient) -> None:
        self.records = records
        self.runtime = runtime
        self._port = port
        self._sessions: dict[tuple[str, str], boto3.session.Session] = {}
        self._lock = threading.Lock()

    @property
    def session(self) -> boto3.session.Session:
        """A session of the account's root."""
        key = (ministack.account_id(), ministack.region())
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = sessions.open_session(self._port, account=key[0], region=key[1])
            return self._sessions[key]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in the account and region."""
        return f"arn:aws:{service}:{ministack.region()}:{ministack.account_id()}:{resource}"


class Handler(ABC):
    """Creates, updates and deletes resources of one type, on a worker thread where it may call the emulator.

    Any exception fails the resource, so that the stack rolls back.
    """

    type_name: ClassVar[str]

    def __init__(self, context: HandlerContext) -> None:
        self.context = context

    @abstractmethod
    def create(self, request: Request) -> Resource:
        """Create the resource."""

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update the resource; by default, create one that replaces it.

        CloudFormation deletes the old resource when the new one has another id. For create-only properties of the
        schema the emulator replaces the resource itself.
        """
        return self.create(request)

    @abstractmethod
    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the resource."""


class RecordedHandler(Handler):
    """A type without an emulated API, whose resources are records (`rehearsal.account.records`)."""

    def create(self, request: Request) -> Resource:
        """Record the resource, unless it is refused or exists."""
        self.validate(request.properties)
        resource = self.identify(request)
        if self.context.records.exists(self.type_name, resource.id):
            raise ResourceError(f"{resource.id} already exists")
        self.context.records.write(self.type_name, resource.id, request.properties)
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Record the updated resource, under a new id if its identity changed."""
        self.validate(request.properties)
        resource = self.identify(request)
        self.context.records.write(self.type_name, resource.id, request.properties)
        return resource

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Remove the record."""
        self.context.records.remove(self.type_name, resource_id)

    @abstractmethod
    def identify(self, request: Request) -> Resource:
        """Return the id and the attributes of a resource."""

    def validate(self, properties: Properties) -> None:
        """Raise `ResourceError` for properties that the service refuses."""


class EmulatedHandler:
    """A handler of the emulator itself, in the form of `Handler`."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions

    def create(self, request: Request) -> Resource:
        """Create the resource."""
        resource_id, attributes = self._functions["create"](
            request.logical_id, dict(request.properties), request.stack_name
        )
        return Resource(id=resource_id, attributes=attributes)

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update or replace the resource."""
        arguments = [resource_id, dict(old), dict(request.properties), request.stack_name]
        if self._functions.get("update_with_logical_id"):
            arguments.append(request.logical_id)
        new_id, attributes = self._functions["update"](*arguments)
        return Resource(id=new_id, attributes=attributes)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the resource."""
        self._functions["delete"](resource_id, dict(properties))


class WrappingHandler(Handler):
    """A handler that extends the emulator's own one, `emulated`."""

    def __init__(self, context: HandlerContext, emulated: EmulatedHandler) -> None:
        super().__init__(context)
        self.emulated = emulated

    def create(self, request: Request) -> Resource:
        """Create the resource."""
        return self.emulated.create(request)

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update or replace the resource."""
        return self.emulated.update(resource_id, old, request)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the resource."""
        self.emulated.delete(resource_id, properties)
