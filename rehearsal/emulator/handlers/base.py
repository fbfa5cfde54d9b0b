"""What a handler of one CloudFormation resource type looks like, and what it may use."""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import boto3.session

from rehearsal.emulator import backend, client
from rehearsal.emulator.control import Control
from rehearsal.emulator.records import Records

Properties = Mapping[str, Any]
"""The properties of a resource, intrinsic functions and dynamic references resolved."""


class ResourceError(Exception):
    """A resource that a real account would refuse, or that failed; the message becomes the stack event's reason."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What was made: `id` is the physical id and what Ref gives, `attributes` what Fn::GetAtt gives."""

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A resource as a stack wants it."""

    stack_name: str
    logical_id: str
    properties: Properties

    def name(self, property_name: str, *, limit: int = 255) -> str:
        """Return the name that the template gives in `property_name`, else one made as CloudFormation makes it."""
        given = self.properties.get(property_name)
        if given:
            return str(given)
        digest = hashlib.sha256(f"{self.stack_name}/{self.logical_id}".encode()).hexdigest()[:12]
        return f"{self.stack_name}-{self.logical_id}"[: limit - 13] + f"-{digest}"


class Account:
    """The emulated account as a handler sees it, in the account and region of the stack that is being deployed."""

    def __init__(self, *, port: int, records: Records, control: Control) -> None:
        self.records = records
        self.control = control
        self._port = port
        self._sessions: dict[tuple[str, str], boto3.session.Session] = {}
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The account id."""
        return backend.account_id()

    @property
    def region(self) -> str:
        """The region's name."""
        return backend.region()

    @property
    def session(self) -> boto3.session.Session:
        """A session with the account's own credentials."""
        key = (self.id, self.region)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = client.session(self._port, account=key[0], region=key[1])
            return self._sessions[key]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.id}:{resource}"


class Handler(ABC):
    """Creates, updates and deletes resources of one type, on a thread of its own where it may call the emulator.

    Whatever it raises fails the resource, and with it the stack, which then rolls back.
    """

    type_name: ClassVar[str]

    def __init__(self, account: Account) -> None:
        self.account = account

    @abstractmethod
    def create(self, request: Request) -> Resource:
        """Make the resource."""

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:  # noqa: ARG002
        """Change the resource; unless a handler can do it in place, a new one that replaces it.

        CloudFormation deletes the old one when the new one has another id. Properties that the type's schema
        calls create-only never come here: the emulator replaces the resource by itself.
        """
        return self.create(request)

    @abstractmethod
    def delete(self, resource_id: str, properties: Properties) -> None:
        """Remove the resource."""


class RecordedHandler(Handler):
    """A type that the emulator has no API for: it is kept as a record, `<data>/records/<type>/<id>.json`."""

    def create(self, request: Request) -> Resource:
        """Record the resource, unless it is refused or exists."""
        self.check(request.properties)
        resource = self.identify(request)
        if self.account.records.exists(self.type_name, resource.id):
            raise ResourceError(f"{resource.id} already exists")
        self.account.records.write(self.type_name, resource.id, request.properties)
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:  # noqa: ARG002
        """Record the changed resource; under a new id when its identity changed."""
        self.check(request.properties)
        resource = self.identify(request)
        self.account.records.write(self.type_name, resource.id, request.properties)
        return resource

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Drop the record."""
        self.account.records.remove(self.type_name, resource_id)

    @abstractmethod
    def identify(self, request: Request) -> Resource:
        """Return the id and attributes that these properties give; the same ones for the same resource."""

    def check(self, properties: Properties) -> None:
        """Raise `ResourceError` for what the real service refuses; nothing unless a handler knows something."""
