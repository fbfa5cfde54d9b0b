"""The service scheduler: rolling deployments, failed deployments, and replacement of tasks."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rehearsal.ecs import replicas
from rehearsal.ecs.containers import Health
from rehearsal.ecs.tasks import TaskHost
from rehearsal.elbv2.target_groups import TargetGroupSettings, TargetHealth
from rehearsal.host.errors import DeploymentError
from tests.rehearsal.ecs.service_harness import GROUP, Harness, Load, Scenario
from tests.rehearsal.ecs.stand_in import Gate
from tests.waiting import wait_until_async

pytestmark = pytest.mark.rehearsal

Run = Callable[[Scenario], None]


@pytest.fixture
def run(host: TaskHost, tmp_path: Path) -> Run:
    """Return a function that runs a scenario with a service, and checks that nothing is left."""

    async def run_scenario(scenario: Scenario) -> None:
        harness = Harness(host, tmp_path)
        try:
            await harness.open()
            async with asyncio.timeout(120):
                await scenario(harness)
            pids = harness.status().pids if harness.service.status() else ()
        finally:
            await harness.close()
        assert not [pid for pid in pids if psutil.pid_exists(pid)]
        assert not list((tmp_path / "processes").glob("*"))

    return lambda scenario: asyncio.run(run_scenario(scenario))


def test_a_rolling_deployment_loses_no_request(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.service.deploy(harness.spec("serve(release='1')", revision=1, desired=2))
        async with harness.client() as session:
            load = Load(harness, session)
            async with load.running():
                for revision in (2, 3):
                    await wait_until_async(lambda: len(load.releases) % 50 > 40, "requests")
                    script = f"serve(release='{revision}')"
                    await harness.service.deploy(harness.spec(script, revision=revision, desired=2))
                    load.releases.append("steady")
                    await wait_until_async(lambda: "steady" not in load.releases[-20:], "20 more requests")
        assert load.problems == []
        assert set(load.releases) == {"1", "2", "3", "steady"}
        assert set(load.releases[-20:]) == {"3"}, "once a deployment is steady no request reaches the previous release"
        assert harness.status().task_definition == "task-api:3"
        assert harness.status().running == 2

    run(scenario)


def test_a_failed_deployment_does_not_affect_the_running_tasks(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.service.deploy(harness.spec("serve(release='1')", revision=1))
        before = harness.status().pids
        async with harness.client() as session:
            load = Load(harness, session)
            async with load.running(connections=2):
                with pytest.raises(DeploymentError) as info:
                    await harness.service.deploy(harness.spec("raise RuntimeError('unknown setting')", revision=2))
        reason = str(info.value)
        assert "3 tasks of task-api:2 failed" in reason
        assert "essential container api exited with code 1" in reason
        assert "RuntimeError: unknown setting" in reason
        assert load.problems == []
        assert set(load.releases) == {"1"}
        await wait_until_async(lambda: harness.status().pids == before, "the end of the failed tasks")
        assert harness.status().task_definition == "task-api:1"
        # CloudFormation's rollback deploys the previous task definition again.
        await harness.service.deploy(harness.spec("serve(release='1')", revision=1))
        assert harness.status().pids == before

    run(scenario)


def test_a_failed_first_deployment_leaves_nothing(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        with pytest.raises(DeploymentError, match="exited with code 4"):
            await harness.service.deploy(harness.spec("sys.exit(4)", revision=1))
        assert harness.service.status() is None

    run(scenario)


def test_an_unhealthy_target_fails_a_deployment(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        group = harness.spec("", revision=1).registrations[0].group
        group.settings = TargetGroupSettings(
            arn=GROUP, name="api", health_path="/healthz", health_interval=0.5, unhealthy_threshold=2
        )
        with pytest.raises(DeploymentError, match=r"failed the health checks of target group api: .* returned 500"):
            await harness.service.deploy(harness.spec("serve(status=500)", revision=1))

    run(scenario)


def test_a_killed_task_is_replaced(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.service.deploy(harness.spec("serve()", revision=1))
        (pid,) = harness.status().pids
        psutil.Process(pid).kill()
        await wait_until_async(
            lambda: harness.status().started == 2 and harness.status().running == 1, "the replacement"
        )
        assert pid not in harness.status().pids
        assert any("exited with code 137" in event for event in harness.events)
        async with harness.client() as session, session.get(harness.url) as response:
            assert response.status == 200

    run(scenario)


#: Fails in the task whose folder has the file.
CHECK = {"command": ["CMD-SHELL", "test ! -e $TMPDIR/fail"], "interval": 0.2, "retries": 2}
UNHEALTHY_ON_SIGNAL = (
    "fail = lambda *_: Path(os.environ['TMPDIR'], 'fail').touch(); signal.signal(signal.SIGUSR1, fail); serve()"
)


@pytest.mark.parametrize("maximum_percent", [200, 100])
def test_an_unhealthy_task_is_replaced(run: Run, maximum_percent: int) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.service.deploy(
            harness.spec(UNHEALTHY_ON_SIGNAL, revision=1, maximum_percent=maximum_percent, healthCheck=CHECK)
        )
        (pid,) = harness.status().pids
        async with harness.client() as session:
            load = Load(harness, session)
            async with load.running(connections=2):
                psutil.Process(pid).send_signal(signal.SIGUSR1)
                await wait_until_async(
                    lambda: pid not in harness.status().pids and harness.status().running == 1, "the replacement"
                )
        assert (harness.status().started, len(harness.status().failures)) == (2, 1)
        (failure,) = harness.status().failures
        assert "essential container api failed its health checks" in failure
        assert any("failed its health checks" in event for event in harness.events)
        if maximum_percent > 100:
            assert load.problems == [], "its replacement serves before it is stopped"
        (status,) = harness.status().containers
        assert (status.name, status.health.health) == ("api", Health.HEALTHY)

    run(scenario)


def test_an_unhealthy_container_fails_a_deployment(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        with pytest.raises(DeploymentError, match="3 tasks of task-api:1 failed") as info:
            await harness.service.deploy(
                harness.spec("serve()", revision=1, healthCheck={**CHECK, "command": ["CMD", "false"]})
            )
        assert "failed its health checks" in str(info.value)

    run(scenario)


def test_the_scalable_target_sets_the_minimum_number_of_tasks(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.service.deploy(harness.spec("serve()", revision=1))
        harness.service.set_minimum_capacity(3)
        await wait_until_async(lambda: harness.status().running == 3, "three tasks")
        harness.service.set_minimum_capacity(1)
        await wait_until_async(lambda: len(harness.status().pids) == 1, "one task")
        assert harness.status().desired == 1

    run(scenario)


def test_a_task_stops_after_its_requests_in_flight(run: Run, gate: Gate) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.service.deploy(harness.spec(f"serve(release='1', gate='{gate}')", revision=1))
        async with harness.client() as session:
            slow = asyncio.create_task(session.get(f"{harness.url}/slow"))
            (target,) = harness.spec("", revision=1).registrations[0].group.targets
            await wait_until_async(lambda: target.in_flight == 1, "the request")
            deployment = asyncio.create_task(harness.service.deploy(harness.spec("serve(release='2')", revision=2)))
            await wait_until_async(lambda: target.health is TargetHealth.DRAINING, "the deregistration")
            gate.open()
            await deployment
            async with await slow as response:
                assert json.loads(await response.read())["release"] == "1"

    run(scenario)


def test_an_immediate_stop_does_not_wait_for_the_stop_timeout(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "_IMMEDIATE_STOP_SECONDS", 0.5)

    async def scenario(harness: Harness) -> None:
        script = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal = lambda *_: None; serve()"
        await harness.service.deploy(harness.spec(script, revision=1, stopTimeout=3600))
        await harness.service.delete(immediately=True)

    run(scenario)


def test_a_deployment_can_be_cancelled(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        deployment = asyncio.create_task(harness.service.deploy(harness.spec("signal.pause()", revision=1)))
        await wait_until_async(lambda: harness.service.status() and harness.status().pids, "the first task")
        await harness.service.delete(immediately=True)
        with pytest.raises(DeploymentError, match="the deployment was cancelled"):
            await deployment

    run(scenario)
