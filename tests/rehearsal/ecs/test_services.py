"""Rolling deployments lose no request, failed ones change nothing, and tasks that die are replaced."""

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from rehearsal.ecs import replicas
from rehearsal.ecs.containers import Health
from rehearsal.ecs.replicas import Registration
from rehearsal.ecs.services import Service, ServiceSpec, ServiceStatus
from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task
from rehearsal.elbv2.load_balancer import LoadBalancer
from rehearsal.elbv2.routing import Forward, ListenerSettings, LoadBalancerSettings, Rule
from rehearsal.elbv2.target_groups import TargetGroups, TargetGroupSettings
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import DeploymentError
from tests.rehearsal.ecs.stand_in import HostFactory, container

pytestmark = pytest.mark.rehearsal

GROUP = "arn:target-group"
HEALTH = {"command": ["CMD-SHELL", "true"]}


class Stage:
    """A service behind a load balancer."""

    def __init__(self, service: Service, balancer: LoadBalancer, groups: TargetGroups, authority: CertificateAuthority):
        self.service = service
        self.events: list[str] = []
        self._balancer = balancer
        self._groups = groups
        self.authority = authority

    @property
    def url(self) -> str:
        return f"https://{self._balancer.endpoint.https}"

    def spec(
        self, script: str, *, revision: int, desired: int = 1, maximum_percent: int = 200, **more: Any
    ) -> ServiceSpec:
        variables = {"BIND_HOST": "0.0.0.0", "PORT": "8443"}
        entry = container(
            "api",
            script,
            environment=[{"name": name, "value": value} for name, value in variables.items()],
            **{"healthCheck": HEALTH, **more},
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
        trust = ssl.create_default_context(cafile=self.authority.certificate)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            yield session


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture
def play(make_host: HostFactory, tmp_path: Path) -> Callable[[Scenario], None]:
    """Play a scenario with a service behind a load balancer; nothing is left of them."""

    async def run(scenario: Scenario) -> None:
        host, groups = make_host(), TargetGroups()
        authority = CertificateAuthority(tmp_path / "ca")
        settings = TargetGroupSettings(arn=GROUP, name="api", health_path="/healthz", deregistration_delay=30)
        await groups.synchronize({GROUP: settings})
        balancer_settings = LoadBalancerSettings(
            arn="arn:alb",
            name="alb",
            dns_name="alb.example",
            listeners=(ListenerSettings(port=443, protocol="HTTPS", rules=(Rule(action=Forward(groups={GROUP: 1})),)),),
        )
        balancer = LoadBalancer(
            balancer_settings, groups=groups, authority=authority, port_for=lambda *_: 0, logs=tmp_path / "logs"
        )
        await balancer.update(balancer_settings)
        events: list[str] = []
        service = Service(
            "api", start_task=lambda definition: Task(definition, host, group="api"), notify=events.append
        )
        stage = Stage(service, balancer, groups, authority)
        stage.events = events
        try:
            async with asyncio.timeout(120):
                await scenario(stage)
            pids = stage.status().pids if service.status() else ()
        finally:
            await service.delete(at_once=True)
            await balancer.close()
            await groups.close()
        assert not [pid for pid in pids if psutil.pid_exists(pid)]
        assert not list((tmp_path / "processes").glob("*"))

    return lambda scenario: asyncio.run(run(scenario))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes do; the scenario's own deadline ends it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


class Load:
    """A client that never stops: several connections, requests back to back."""

    def __init__(self, stage: Stage, session: aiohttp.ClientSession) -> None:
        self.releases: list[str] = []
        self.problems: list[str] = []
        self._stage = stage
        self._session = session
        self._stopping = asyncio.Event()

    async def one(self, number: int) -> None:
        body = f"request {number}"
        try:
            async with self._session.post(f"{self._stage.url}/payments?number={number}", data=body) as response:
                answer = await response.json() if response.status == 200 else {}
        except aiohttp.ClientError as error:
            self.problems.append(repr(error))
            return
        if response.status != 200 or answer["body"] != body:
            self.problems.append(f"{response.status} {answer}")
        else:
            self.releases.append(answer["release"])

    async def loop(self, start: int) -> None:
        number = start
        while not self._stopping.is_set():
            await self.one(number)
            number += 1

    @contextlib.asynccontextmanager
    async def running(self, connections: int = 6) -> AsyncIterator[None]:
        loops = [asyncio.create_task(self.loop(index * 1_000_000)) for index in range(connections)]
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.gather(*loops)


def test_a_rolling_deployment_loses_no_request(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.service.deploy(stage.spec("serve(release='1', delay=0.05)", revision=1, desired=2))
        async with stage.client() as session:
            load = Load(stage, session)
            async with load.running():
                for revision in (2, 3):
                    await until(lambda: len(load.releases) % 50 > 40)
                    script = f"serve(release='{revision}', delay=0.05)"
                    await stage.service.deploy(stage.spec(script, revision=revision, desired=2))
                    load.releases.append("steady")
                    await until(lambda: load.releases[-20:].count("steady") == 0)
        assert load.problems == []
        assert set(load.releases) == {"1", "2", "3", "steady"}
        assert set(load.releases[-20:]) == {"3"}, "once a deployment is steady the old release answers no more"
        assert stage.status().task_definition == "task-api:3"
        assert stage.status().running == 2

    play(scenario)


def test_a_failed_deployment_names_the_cause_and_the_old_tasks_serve_on(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.service.deploy(stage.spec("serve(release='1')", revision=1))
        before = stage.status().pids
        async with stage.client() as session:
            load = Load(stage, session)
            async with load.running(connections=2):
                with pytest.raises(DeploymentError) as info:
                    await stage.service.deploy(stage.spec("raise RuntimeError('no such setting')", revision=2))
        reason = str(info.value)
        assert "3 tasks of task-api:2 failed" in reason
        assert "essential container api exited with code 1" in reason
        assert "RuntimeError: no such setting" in reason
        assert load.problems == []
        assert set(load.releases) == {"1"}
        await until(lambda: stage.status().pids == before)
        assert stage.status().task_definition == "task-api:1"
        # What CloudFormation's rollback does next changes nothing.
        await stage.service.deploy(stage.spec("serve(release='1')", revision=1))
        assert stage.status().pids == before

    play(scenario)


def test_a_first_deployment_that_fails_leaves_nothing(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(DeploymentError, match="exited with code 4"):
            await stage.service.deploy(stage.spec("sys.exit(4)", revision=1))
        assert stage.service.status() is None

    play(scenario)


def test_a_task_that_its_load_balancer_finds_unhealthy_fails_the_deployment(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        group = stage.spec("", revision=1).registrations[0].group
        group.settings = TargetGroupSettings(
            arn=GROUP, name="api", health_path="/healthz", health_interval=0.5, unhealthy_threshold=2
        )
        with pytest.raises(DeploymentError, match=r"failed the health checks of target group api: .* answered 500"):
            await stage.service.deploy(stage.spec("serve(status=500)", revision=1))

    play(scenario)


def test_a_task_that_dies_is_replaced(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.service.deploy(stage.spec("serve()", revision=1))
        (pid,) = stage.status().pids
        psutil.Process(pid).kill()
        await until(lambda: stage.status().started == 2 and stage.status().running == 1)
        assert pid not in stage.status().pids
        assert any("exited with code 137" in event for event in stage.events)
        async with stage.client() as session, session.get(stage.url) as response:
            assert response.status == 200

    play(scenario)


#: Fails in the one task whose folder has the file.
ILL = {"command": ["CMD-SHELL", "test ! -e $TMPDIR/ill"], "interval": 0.2, "retries": 2}
SICKEN = "ill = lambda *_: Path(os.environ['TMPDIR'], 'ill').touch(); signal.signal(signal.SIGUSR1, ill); serve()"


@pytest.mark.parametrize("most", [200, 100])
def test_a_task_whose_container_is_unhealthy_is_replaced(play: Callable[[Scenario], None], most: int) -> None:
    """Where there is room, its replacement serves before it goes, and no request is lost."""

    async def scenario(stage: Stage) -> None:
        await stage.service.deploy(stage.spec(SICKEN, revision=1, maximum_percent=most, healthCheck=ILL))
        (pid,) = stage.status().pids
        async with stage.client() as session:
            load = Load(stage, session)
            async with load.running(connections=2):
                psutil.Process(pid).send_signal(signal.SIGUSR1)
                await until(lambda: pid not in stage.status().pids and stage.status().running == 1)
        assert (stage.status().started, len(stage.status().failures)) == (2, 1)
        (failure,) = stage.status().failures
        assert "essential container api failed its health checks" in failure
        assert any("failed its health checks" in event for event in stage.events)
        if most > 100:
            assert load.problems == []
        (status,) = stage.status().containers
        assert (status.name, status.health.health) == ("api", Health.HEALTHY)

    play(scenario)


def test_a_deployment_whose_tasks_become_unhealthy_fails(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(DeploymentError, match="3 tasks of task-api:1 failed") as info:
            await stage.service.deploy(
                stage.spec("serve()", revision=1, healthCheck={**ILL, "command": ["CMD", "false"]})
            )
        assert "failed its health checks" in str(info.value)

    play(scenario)


def test_a_deployment_that_would_wait_for_hours_fails_at_once(play: Callable[[Scenario], None]) -> None:
    """The circuit breaker of AWS would not count its tasks, so it must not be this that ends it here."""

    async def scenario(stage: Stage) -> None:
        entries = [
            container("migrate", "sys.exit(1)", essential=False),
            container("api", "serve()", dependsOn=[{"containerName": "migrate", "condition": "SUCCESS"}]),
        ]
        definition = parse_task_definition({"taskDefinitionArn": "task-api:1", "containerDefinitions": entries})
        stuck = replace(stage.spec("", revision=1), definition=definition)
        with pytest.raises(DeploymentError, match=r"the deployment would not end; .* PENDING for up to three hours"):
            await stage.service.deploy(stuck)
        assert len([event for event in stage.events if event.endswith("starts")]) == 1

    play(scenario)


def test_the_scalable_target_sets_the_least_number_of_tasks(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.service.deploy(stage.spec("serve()", revision=1))
        stage.service.set_capacity(3)
        await until(lambda: stage.status().running == 3)
        stage.service.set_capacity(1)
        await until(lambda: len(stage.status().pids) == 1)
        assert stage.status().desired == 1

    play(scenario)


def test_requests_in_flight_end_before_their_task_is_stopped(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.service.deploy(stage.spec("serve(release='1', delay=2)", revision=1))
        async with stage.client() as session:
            slow = asyncio.create_task(session.get(f"{stage.url}/slow"))
            (target,) = stage.spec("", revision=1).registrations[0].group.targets
            await until(lambda: target.in_flight == 1)
            await stage.service.deploy(stage.spec("serve(release='2')", revision=2))
            async with await slow as response:
                assert json.loads(await response.read())["release"] == "1"

    play(scenario)


def test_a_runtime_that_stops_waits_for_no_stubborn_task(
    play: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "_AT_ONCE_SECONDS", 0.5)

    async def scenario(stage: Stage) -> None:
        script = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal = lambda *_: None; serve()"
        await stage.service.deploy(stage.spec(script, revision=1))
        began = asyncio.get_running_loop().time()
        await stage.service.delete(at_once=True)
        assert 0.5 <= asyncio.get_running_loop().time() - began < 10, "its stopTimeout is 30 s"

    play(scenario)


def test_a_deployment_can_be_interrupted(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        deployment = asyncio.create_task(stage.service.deploy(stage.spec("time.sleep(600)", revision=1)))
        await until(lambda: bool(stage.service.status() and stage.status().pids))
        await stage.service.delete(at_once=True)
        with pytest.raises(DeploymentError, match="the deployment was stopped"):
            await deployment

    play(scenario)
