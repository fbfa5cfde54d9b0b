"""The part of the container runtime that lives on its event loop; it performs what the control API is asked for."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import boto3.session

from rehearsal.ecr.container_engine import ContainerEngine
from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.container_secrets import SecretResolver
from rehearsal.ecs.environments import ServiceDiscovery
from rehearsal.ecs.replicas import Registration
from rehearsal.ecs.services import Service, ServiceSpec, ServiceStatus
from rehearsal.ecs.task_definitions import TaskDefinition
from rehearsal.ecs.task_roles import TaskRoles
from rehearsal.ecs.tasks import AddressPool, Task, TaskHost
from rehearsal.elbv2.load_balancer import Endpoint, PortAllocator
from rehearsal.elbv2.load_balancers import LoadBalancers
from rehearsal.elbv2.target_groups import TargetGroups
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import NotConnectedError, RehearsalError
from rehearsal.host.processes import ProcessTable
from rehearsal.rds.databases import Databases
from rehearsal.rds.server import DatabaseSpec
from rehearsal.runtime.control_api import ControlApi
from rehearsal.runtime.descriptions import read_load_balancers, read_service, read_target_groups

# Aborted TLS connections are closed in the next turns of the loop.
_CLOSE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Settings of the container runtime."""

    #: The folder of its files (absolute); `logs/events.log` has the events.
    directory: Path
    #: The folder of the image store.
    images: Path
    #: Allocates the local ports of listeners.
    port_for: PortAllocator = lambda _name, _port: 0
    #: Called with a line for every event, on the runtime's thread.
    on_event: Callable[[str], None] = lambda _line: None
    #: Called with a line about what only AWS can do, on the runtime's thread.
    on_limitation: Callable[[str], None] = lambda _line: None
    #: The container engine; None for processes.
    engine: ContainerEngine | None = None
    #: How many times more often than declared the health of containers is checked.
    time_scale: float = 1.0
    #: Variables of every container that no task definition declares.
    extra_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RuntimeStatus:
    """What is running: ports of databases by cluster identifier, services, and local addresses by DNS name."""

    databases: Mapping[str, int]
    services: tuple[ServiceStatus, ...]
    endpoints: Mapping[str, Endpoint]


class Controller:
    """Runs databases, services and load balancers; see `rehearsal.runtime.control_api.Operations`."""

    def __init__(self, settings: RuntimeSettings, authority: CertificateAuthority) -> None:
        self.session: boto3.session.Session | None = None
        self.task_roles: TaskRoles | None = None
        self.control_api = ControlApi(self)
        self._settings = settings
        self._logs = settings.directory / "logs"
        self._groups = TargetGroups()
        self.balancers = LoadBalancers(
            groups=self._groups,
            authority=authority,
            port_for=settings.port_for,
            logs=self._logs,
            notify=settings.on_event,
        )
        table = ProcessTable(settings.directory)
        self._databases = Databases(settings.directory / "databases", logs=self._logs, table=table, authority=authority)
        self._task_host = TaskHost(
            directory=settings.directory / "tasks",
            logs=self._logs,
            table=table,
            images=ImageStore(settings.images),
            addresses=AddressPool(),
            discovery=ServiceDiscovery(
                ca_file=authority.certificate,
                find_database=self._databases.find,
                localize_load_balancers=self.balancers.localize,
            ),
            secrets_for=self._secrets_for,
            engine=settings.engine,
            notify=self._notify,
            time_scale=settings.time_scale,
            extra_environment=settings.extra_environment,
        )
        self._services: dict[tuple[str, str], Service] = {}
        self._synchronizing = asyncio.Lock()
        self._closing = False

    @classmethod
    async def start(cls, settings: RuntimeSettings, authority: CertificateAuthority) -> Self:
        """Create a controller and start its control API."""
        controller = cls(settings, authority)
        await controller.control_api.start()
        return controller

    async def status(self) -> RuntimeStatus:
        """Return what is running."""
        if self.session is not None:
            await self.synchronize()
        services = [service.status() for service in self._services.values()]
        return RuntimeStatus(
            databases={identifier: server.port for identifier, server in self._databases.running.items()},
            services=tuple(service for service in services if service is not None),
            endpoints=self.balancers.endpoints(),
        )

    async def put_database(self, spec: DatabaseSpec) -> None:
        """Start a database, or update its endpoints."""
        self._refuse_when_closing()
        server = await self._databases.ensure(spec)
        self._notify(f"database {spec.identifier} listens on {server.host}:{server.port}")

    async def delete_database(self, identifier: str) -> None:
        """Stop a database and remove its data."""
        await self._databases.delete(identifier)
        self._notify(f"database {identifier} is deleted")

    async def put_service(self, cluster: str, name: str) -> None:
        """Deploy a service as the account describes it."""
        session = self._require_session()
        await self.synchronize()
        description = await asyncio.to_thread(read_service, session, cluster, name)
        if description.strategy != "ROLLING":
            self._settings.on_limitation(
                f"service {name} asks for a {description.strategy} deployment, which only AWS can do: its tasks are "
                "replaced by a rolling deployment in the primary target group, and listener rules keep their weights"
            )
        registrations = []
        for arn, port in description.targets:
            group = self._groups.get(arn)
            if group is None:
                raise RehearsalError(f"service {name} refers to target group {arn}, which does not exist")
            registrations.append(Registration(group=group, port=port))
        spec = ServiceSpec(
            cluster=cluster,
            name=name,
            definition=description.definition,
            desired=description.desired,
            registrations=tuple(registrations),
            minimum_healthy_percent=description.minimum_healthy_percent,
            maximum_percent=description.maximum_percent,
        )
        await self._service(cluster, name).deploy(spec)

    async def delete_service(self, cluster: str, name: str) -> None:
        """Stop the tasks of a service."""
        service = self._services.pop((cluster, name), None)
        if service is not None:
            await service.delete()
            self._notify(f"service {name} is deleted")

    async def put_capacity(self, cluster: str, name: str, minimum: int) -> None:
        """Set the minimum number of tasks of a service."""
        self._service(cluster, name).set_minimum_capacity(minimum)

    async def put_load_balancers(self) -> None:
        """Update the load balancers and their web ACLs."""
        await self.synchronize()

    async def synchronize(self) -> None:
        """Update target groups and load balancers to what the account describes."""
        session = self._require_session()
        async with self._synchronizing:
            groups = await asyncio.to_thread(read_target_groups, session)
            balancers = await asyncio.to_thread(read_load_balancers, session)
            await self._groups.synchronize(groups)
            await self.balancers.synchronize(balancers)

    async def close(self) -> None:
        """Stop everything immediately; new requests are refused."""
        self._closing = True
        await asyncio.gather(*(service.delete(immediately=True) for service in self._services.values()))
        self._services.clear()
        await self.control_api.stop()
        await self.balancers.close()
        await self._groups.close()
        await self._databases.delete_all()
        await asyncio.sleep(_CLOSE_SECONDS)

    def _notify(self, line: str) -> None:
        with (self._logs / "events.log").open("a", encoding="utf-8") as events:
            events.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")
        self._settings.on_event(line)

    def _require_session(self) -> boto3.session.Session:
        if self.session is None:
            raise NotConnectedError("the container runtime is not connected to an account yet")
        return self.session

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise RehearsalError("the container runtime is being stopped")

    def _service(self, cluster: str, name: str) -> Service:
        self._refuse_when_closing()
        key = (cluster, name)
        if key not in self._services:
            self._services[key] = Service(
                name,
                create_task=lambda definition: Task(definition, self._task_host, group=f"{cluster}.{name}"),
                notify=self._notify,
            )
        return self._services[key]

    def _secrets_for(self, definition: TaskDefinition) -> SecretResolver:
        session = self._require_session()
        return SecretResolver(self.task_roles.prepare(definition) if self.task_roles else session)
