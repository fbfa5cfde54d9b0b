"""The compute runtime: databases, tasks, services and load balancers of one rehearsal, behind a synchronous facade."""

import asyncio
import shutil
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import boto3.session

from rehearsal.compute.account import read_load_balancers, read_service, read_target_groups
from rehearsal.compute.certificates import CertificateAuthority
from rehearsal.compute.control import ControlApi
from rehearsal.compute.databases import Databases, DatabaseSpec
from rehearsal.compute.engine import Engine
from rehearsal.compute.environments import Localities
from rehearsal.compute.errors import ComputeError, NotConnectedError
from rehearsal.compute.images import ImageStore
from rehearsal.compute.isolation import container_label
from rehearsal.compute.load_balancer import Endpoint, LoadBalancers, PortAllocator
from rehearsal.compute.processes import ProcessTable, sweep_leftovers, tail
from rehearsal.compute.replicas import Registration
from rehearsal.compute.secrets import SecretResolver
from rehearsal.compute.services import Notify, Service, ServiceSpec, ServiceStatus
from rehearsal.compute.target_groups import TargetGroups
from rehearsal.compute.task_definitions import TaskDefinition
from rehearsal.compute.task_roles import TaskRoles
from rehearsal.compute.tasks import AddressPool, Task, TaskHost

# TLS connections that are cut close in the loop's next turns, before it ends.
_LAST_TURNS_SECONDS = 0.2

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Where the runtime keeps its files, and whom it asks and tells.

    `port_for` chooses the local port of a listener (load balancer name, listener port; 0 = any free one);
    `on_event` is told one line for everything that happens, `on_limit` what only AWS can do, both on the runtime's
    thread; containers are `engine`'s, if there is one, else processes. `logs/events.log` keeps the events too. With a
    `time_scale` health checks run that many times more often, and containers are told to wait less (`TIME_SCALE`).
    """

    directory: Path
    images: Path
    port_for: PortAllocator = lambda _name, _port: 0
    on_event: Notify = lambda _line: None
    on_limit: Notify = lambda _line: None
    engine: Engine | None = None
    time_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class RuntimeStatus:
    """Everything that runs, at one moment."""

    databases: Mapping[str, int]
    services: tuple[ServiceStatus, ...]
    endpoints: Mapping[str, Endpoint]


class ComputeRuntime:
    """Start it, hand `control_url` to the emulator, `connect` it to the emulator, and `stop` it in any case.

    It works on a thread of its own; every method may be called from any other thread.
    """

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._directory = settings.directory.resolve()
        self.authority = CertificateAuthority(self._directory / "ca")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._engine: _Engine | None = None

    @property
    def ca_file(self) -> Path:
        """The root certificate to trust, PEM."""
        return self.authority.certificate

    @property
    def control_url(self) -> str:
        """The control API, for the emulator's CONTROL_URL."""
        return self._running().control.url

    def start(self) -> None:
        """End what a killed rehearsal left, empty the registry, then start the thread and the control API."""
        for name in sweep_leftovers(self._directory):
            self._settings.on_event(f"ended what an earlier rehearsal left running: {name}")
        self._remove_containers()
        for folder in ("databases", "tasks", "logs"):
            shutil.rmtree(self._directory / folder, ignore_errors=True)
            (self._directory / folder).mkdir(parents=True)
        ImageStore(self._settings.images).empty_registry()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="compute runtime", daemon=True)
        self._thread.start()
        try:
            self._engine = self._call(_Engine.create(self._settings, self._directory, self.authority))
        except BaseException:
            self.stop()
            raise

    def connect(
        self, session: boto3.session.Session, endpoint_url: str | None = None, *, task_roles: TaskRoles | None = None
    ) -> None:
        """Tell it the account: a session whose clients talk to the emulator (`endpoint_url` is informational).

        With `task_roles`, what a task's agent does is decided by the task's roles.
        """
        engine = self._running()
        engine.session, engine.task_roles = session, task_roles
        self._settings.on_event(f"the compute runtime reads the account at {endpoint_url or 'the session endpoint'}")

    def endpoints(self) -> dict[str, Endpoint]:
        """Return DNS names of load balancers with their local addresses."""
        engine = self._running()
        if engine.session is not None:
            self._call(engine.synchronize())
        return engine.balancers.endpoints()

    def localize(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Replace DNS names of load balancers in texts by their local addresses; the account is asked once for all."""
        self.endpoints()
        localize = self._running().balancers.localize
        return {name: localize(text) for name, text in texts.items()}

    def status(self) -> RuntimeStatus:
        """Describe everything that runs."""
        return self._call(self._running().status())

    def log_tail(self, cluster: str, service: str, lines: int = 40) -> str:
        """Return the ends of the logs of a service's containers, newest last."""
        logs = self._directory / "logs"
        files = sorted(logs.glob(f"{cluster}.{service}-*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"{path}:\n{tail(path, lines)}" for path in files if not path.name.endswith(".health.log"))

    def stop(self) -> None:
        """Stop every process and delete the databases; does nothing when it is not running."""
        loop, thread, engine = self._loop, self._thread, self._engine
        self._loop = self._thread = self._engine = None
        if loop is None or thread is None:
            return
        try:
            if engine is not None:
                asyncio.run_coroutine_threadsafe(engine.close(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            sweep_leftovers(self._directory)
            self._remove_containers()

    def _remove_containers(self) -> None:
        """Remove what is left in the engine: its containers outlive the clients that started them."""
        engine = self._settings.engine
        if engine is not None:
            engine.remove(engine.labelled(container_label(self._directory / "tasks")))

    def _running(self) -> "_Engine":
        if self._engine is None:
            raise ComputeError("the compute runtime is not running")
        return self._engine

    def _call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        if self._loop is None:
            work.close()
            raise ComputeError("the compute runtime is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Engine:
    """The part that lives on the runtime's loop; it does what the control API is asked for."""

    def __init__(self, settings: RuntimeSettings, directory: Path, authority: CertificateAuthority) -> None:
        self.session: boto3.session.Session | None = None
        self.task_roles: TaskRoles | None = None
        self.control = ControlApi(self)
        self.groups = TargetGroups()
        logs = directory / "logs"
        self.balancers = LoadBalancers(
            groups=self.groups,
            authority=authority,
            port_for=settings.port_for,
            logs=logs,
            notify=settings.on_event,
        )
        self._on_event, self._tell_limit = settings.on_event, settings.on_limit
        self._time_scale = settings.time_scale
        self._directory = directory
        self._logs = logs
        self._table = ProcessTable(directory)
        self._databases = Databases(directory / "databases", logs=logs, table=self._table, authority=authority)
        self._images = ImageStore(settings.images)
        self._container_engine = settings.engine
        self._addresses = AddressPool()
        self._localities = Localities(
            certificate_authority=authority.certificate,
            find_database=self._databases.find,
            localize_load_balancers=self.balancers.localize,
        )
        self._services: dict[tuple[str, str], Service] = {}
        self._synchronizing = asyncio.Lock()
        self._closing = False

    @classmethod
    async def create(cls, settings: RuntimeSettings, directory: Path, authority: CertificateAuthority) -> "_Engine":
        engine = cls(settings, directory, authority)
        await engine.control.start()
        return engine

    async def status(self) -> RuntimeStatus:
        if self.session is not None:
            await self.synchronize()
        services = [service.status() for service in self._services.values()]
        return RuntimeStatus(
            databases={identifier: server.port for identifier, server in self._databases.running.items()},
            services=tuple(service for service in services if service is not None),
            endpoints=self.balancers.endpoints(),
        )

    async def put_database(self, spec: DatabaseSpec) -> None:
        self._refuse_when_closing()
        server = await self._databases.ensure(spec)
        self._notify(f"database {spec.identifier} listens on {server.host}:{server.port}")

    async def delete_database(self, identifier: str) -> None:
        await self._databases.delete(identifier)
        self._notify(f"database {identifier} is deleted")

    async def put_service(self, cluster: str, name: str) -> None:
        session = self._account()
        await self.synchronize()
        description = await asyncio.to_thread(read_service, session, cluster, name)
        if description.strategy != "ROLLING":
            self._tell_limit(
                f"service {name} asks for a {description.strategy} deployment: only AWS can show one. Here its tasks "
                "are replaced as in a rolling one, in the primary target group, and no listener rule's weights change"
            )
        registrations = []
        for arn, port in description.targets:
            group = self.groups.get(arn)
            if group is None:
                raise ComputeError(f"service {name} names the target group {arn}, which does not exist")
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
        service = self._services.pop((cluster, name), None)
        if service is not None:
            await service.delete()
            self._notify(f"service {name} is deleted")

    async def put_capacity(self, cluster: str, name: str, minimum: int) -> None:
        self._service(cluster, name).set_capacity(minimum)

    async def put_load_balancers(self) -> None:
        await self.synchronize()

    async def synchronize(self) -> None:
        """Make target groups and load balancers what the account says."""
        session = self._account()
        async with self._synchronizing:
            groups = await asyncio.to_thread(read_target_groups, session)
            balancers = await asyncio.to_thread(read_load_balancers, session)
            await self.groups.synchronize(groups)
            await self.balancers.synchronize(balancers)

    async def close(self) -> None:
        """Stop everything at once; what is asked for meanwhile is refused."""
        self._closing = True
        await asyncio.gather(*(service.delete(at_once=True) for service in self._services.values()))
        self._services.clear()
        await self.control.stop()
        await self.balancers.close()
        await self.groups.close()
        await self._databases.delete_all()
        await asyncio.sleep(_LAST_TURNS_SECONDS)

    def _notify(self, line: str) -> None:
        with (self._logs / "events.log").open("a", encoding="utf-8") as events:
            events.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")
        self._on_event(line)

    def _account(self) -> boto3.session.Session:
        if self.session is None:
            raise NotConnectedError("the compute runtime has not been connected to an account yet")
        return self.session

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise ComputeError("the compute runtime is being stopped")

    def _service(self, cluster: str, name: str) -> Service:
        self._refuse_when_closing()
        key = (cluster, name)
        if key not in self._services:
            self._services[key] = Service(
                name, start_task=lambda definition: self._make_task(cluster, name, definition), notify=self._notify
            )
        return self._services[key]

    def _secrets_for(self, definition: TaskDefinition) -> SecretResolver:
        account = self._account()
        return SecretResolver(self.task_roles.prepare(definition) if self.task_roles else account)

    def _make_task(self, cluster: str, name: str, definition: TaskDefinition) -> Task:
        host = TaskHost(
            directory=self._directory / "tasks",
            logs=self._logs,
            table=self._table,
            images=self._images,
            addresses=self._addresses,
            localities=self._localities,
            secrets_for=self._secrets_for,
            engine=self._container_engine,
            notify=self._notify,
            time_scale=self._time_scale,
        )
        return Task(definition, host, group=f"{cluster}.{name}")
