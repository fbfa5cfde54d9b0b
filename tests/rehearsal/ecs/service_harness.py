"""A service behind a load balancer, and clients of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import aiohttp

from rehearsal.ecs.replicas import Registration
from rehearsal.ecs.services import Service, ServiceSpec, ServiceStatus
from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task, TaskHost
from rehearsal.elbv2.load_balancer import LoadBalancer
from rehearsal.elbv2.routing import Forward, ListenerSettings, LoadBalancerSettings, Rule
from rehearsal.elbv2.target_groups import TargetGroups, TargetGroupSettings
from rehearsal.host.certificates import CertificateAuthority
from tests.rehearsal.ecs.stand_in import container

GROUP = "arn:target-group"
SETTINGS = LoadBalancerSettings(
    arn="arn:alb",
    name="alb",
    dns_name="alb.example",
    listeners=(ListenerSettings(port=443, protocol="HTTPS", rules=(Rule(action=Forward(groups={GROUP: 1})),)),),
)


class Harness:
    """A service behind a load balancer."""

    def __init__(self, host: TaskHost, folder: Path) -> None:
        self.events: list[str] = []
        self.service = Service(
            "api",
            create_task=lambda definition: Task(definition, host, group="api"),
            notify=self.events.append,
        )
        self._authority = CertificateAuthority(folder / "ca")
        self._groups = TargetGroups()
        self._balancer = LoadBalancer(
            SETTINGS, groups=self._groups, authority=self._authority, port_for=lambda *_: 0, logs=folder / "logs"
        )

    async def open(self) -> None:
        settings = TargetGroupSettings(arn=GROUP, name="api", health_path="/healthz", deregistration_delay=30)
        await self._groups.synchronize({GROUP: settings})
        await self._balancer.update(SETTINGS)

    async def close(self) -> None:
        await self.service.delete(immediately=True)
        await self._balancer.close()
        await self._groups.close()

    @property
    def url(self) -> str:
        return f"https://{self._balancer.endpoint.https}"

    def spec(
        self, script: str, *, revision: int, desired: int = 1, maximum_percent: int = 200, **members: object
    ) -> ServiceSpec:
        variables = {"BIND_HOST": "0.0.0.0", "PORT": "8443"}
        entry = container(
            "api",
            script,
            environment=[{"name": name, "value": value} for name, value in variables.items()],
            **{"healthCheck": {"command": ["CMD-SHELL", "true"]}, **members},
        )
        description = {"taskDefinitionArn": f"task-api:{revision}", "containerDefinitions": [entry]}
        group = self._groups.get(GROUP)
        assert group is not None
        return ServiceSpec(
            cluster="cluster",
            name="api",
            definition=parse_task_definition(description),
            desired=desired,
            maximum_percent=maximum_percent,
            registrations=(Registration(group=group, port=8443),),
        )

    def status(self) -> ServiceStatus:
        status = self.service.status()
        assert status is not None
        return status

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self._authority.client_context())
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session


Scenario = Callable[[Harness], Coroutine[None, None, None]]


class Load:
    """A client with several connections, each sending requests back to back."""

    def __init__(self, harness: Harness, session: aiohttp.ClientSession) -> None:
        self.releases: list[str] = []
        self.problems: list[str] = []
        self._harness = harness
        self._session = session
        self._stopping = asyncio.Event()

    async def send(self, number: int) -> None:
        body = f"request {number}"
        try:
            async with self._session.post(f"{self._harness.url}/orders?number={number}", data=body) as response:
                content = await response.json() if response.status == 200 else {}
        except aiohttp.ClientError as error:
            self.problems.append(repr(error))
            return
        if response.status != 200 or content["body"] != body:
            self.problems.append(f"{response.status} {content}")
        else:
            self.releases.append(content["release"])

    async def loop(self, start: int) -> None:
        number = start
        while not self._stopping.is_set():
            await self.send(number)
            number += 1

    @contextlib.asynccontextmanager
    async def running(self, connections: int = 6) -> AsyncIterator[None]:
        loops = [asyncio.create_task(self.loop(index * 1_000_000)) for index in range(connections)]
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.gather(*loops)
