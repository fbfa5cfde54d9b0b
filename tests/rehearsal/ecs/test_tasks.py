"""Tasks behave as in ECS: order, health, essential containers, environment, stopping."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task
from rehearsal.host.errors import TaskFailedError, TaskStuckError
from tests.rehearsal.ecs.stand_in import HostFactory, container

pytestmark = pytest.mark.rehearsal

FOREVER = "stop_on_sigterm(); print('running', flush=True); time.sleep(600)"
SUCCESS = [{"containerName": "migrate", "condition": "SUCCESS"}]
COMPLETE = [{"containerName": "migrate", "condition": "COMPLETE"}]


@pytest.fixture
def run(make_host: HostFactory) -> Callable[..., None]:
    """Start a task of these containers, play a scenario with it, stop it, and see that nothing is left of it."""

    def runner(scenario: Callable[[Task], Coroutine[Any, Any, None]], *containers: dict[str, Any]) -> None:
        async def play() -> None:
            host = make_host()
            description = {"taskDefinitionArn": "task:1", "containerDefinitions": list(containers)}
            task = Task(parse_task_definition(description), host, group="api")
            task.start()
            pids: tuple[int, ...] = ()
            try:
                async with asyncio.timeout(60):
                    await scenario(task)
                    pids = task.pids
            finally:
                await task.stop("the test ends")
            assert not [pid for pid in pids if psutil.pid_exists(pid)]
            assert task.pids == ()
            assert not list(host.directory.glob("*"))
            assert not list((host.directory.parent / "processes").glob("*"))

        asyncio.run(play())

    return runner


def log_of(task: Task, name: str) -> str:
    (found,) = [entry for entry in task.containers if entry.name == name]
    return found.log.read_text() if found.log.exists() else ""


async def logged(task: Task, name: str, text: str) -> None:
    while text not in log_of(task, name):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.01)


async def failure(task: Task) -> str:
    with pytest.raises(TaskFailedError) as info:
        await task.wait_until_ready()
    return str(info.value)


def test_the_migration_ends_before_the_api_starts(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        await logged(task, "api", "running")
        migrated, began = float(log_of(task, "migrate")), float(log_of(task, "api").split()[0])
        assert began >= migrated
        assert task.is_ready

    migrate = container("migrate", "time.sleep(0.3); print(time.time())", essential=False)
    api = container("api", "print(time.time(), flush=True);" + FOREVER, dependsOn=SUCCESS)
    run(scenario, api, migrate)


def test_a_failed_migration_means_no_api(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        with pytest.raises(TaskStuckError) as info:
            await task.wait_until_ready()
        reason = str(info.value)
        assert "container api was not started, as it needs SUCCESS of migrate, which exited with code 3" in reason
        assert "may stay PENDING for up to three hours" in reason
        assert "depend on COMPLETE" in reason
        assert "column amount already exists" in reason, "the end of the migration's log"
        assert not log_of(task, "api")

    migrate = container("migrate", "print('column amount already exists'); sys.exit(3)", essential=False)
    run(scenario, migrate, container("api", FOREVER, dependsOn=SUCCESS))


def test_a_container_that_refuses_after_a_failed_migration_shows_both(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        reason = await failure(task)
        assert "essential container api exited with code 3" in reason
        assert "the schema is too old" in reason
        assert "container migrate had exited with code 1" in reason
        assert "column amount already exists" in reason

    migrate = container("migrate", "print('column amount already exists'); sys.exit(1)", essential=False)
    run(scenario, migrate, container("api", "print('the schema is too old'); sys.exit(3)", dependsOn=COMPLETE))


def test_a_container_that_needs_only_the_end_of_another_starts_after_its_failure(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        assert "running" in log_of(task, "api")

    run(scenario, container("migrate", "sys.exit(1)", essential=False), container("api", FOREVER, dependsOn=COMPLETE))


def test_a_crash_names_container_exit_code_and_log(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        reason = await failure(task)
        assert "essential container api exited with code 1" in reason
        assert "RuntimeError: no such setting" in reason

    run(scenario, container("api", "raise RuntimeError('no such setting')"))


def test_a_killed_process_has_the_exit_code_of_its_signal(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        assert "essential container api exited with code 137" in await failure(task)

    run(scenario, container("api", "os.kill(os.getpid(), signal.SIGKILL)"))


def test_an_essential_container_that_ends_takes_the_others_with_it(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "sidecar").split() == ["running", "stopped"]
        assert task.reason is not None
        assert "essential container api exited with code 0" in task.reason

    api = container("api", "print('bye')", dependsOn=[{"containerName": "sidecar", "condition": "HEALTHY"}])
    check = {"command": ["CMD-SHELL", "test -e $TMPDIR/up"]}
    up = "stop_on_sigterm(); print('running', flush=True); Path(os.environ['TMPDIR'], 'up').touch(); time.sleep(600)"
    run(scenario, api, container("sidecar", up, essential=False, healthCheck=check))


def test_a_task_is_ready_once_its_containers_are_healthy(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        assert "warm" in log_of(task, "api")

    warm_up = "time.sleep(1.5); Path(os.environ['TMPDIR'], 'warm').touch(); print('warm', flush=True)"
    script = f"stop_on_sigterm(); {warm_up}; time.sleep(600)"
    check = {"command": ["CMD-SHELL", "test -e $TMPDIR/warm"], "interval": 5, "retries": 3}
    run(scenario, container("api", script, healthCheck=check))


def test_an_unhealthy_container_fails_its_task_after_its_retries(run: Callable[..., None]) -> None:
    began = time.monotonic()

    async def scenario(task: Task) -> None:
        assert "essential container api failed its health checks" in await failure(task)
        assert time.monotonic() - began >= 1.5, "the start period and one more interval"

    check = {"command": ["CMD", "python", "-c", "raise SystemExit(1)"], "interval": 0.5, "retries": 2, "startPeriod": 1}
    run(scenario, container("api", FOREVER, healthCheck=check))


def test_a_container_is_told_of_a_time_scale_and_checked_as_often(make_host: HostFactory, tmp_path: Path) -> None:
    events: list[str] = []
    check = {"command": ["CMD-SHELL", "test ! -e $TMPDIR/ill"], "interval": 300, "retries": 3}
    script = "stop_on_sigterm(); print(os.environ['TIME_SCALE'], flush=True); time.sleep(600)"
    description = {"taskDefinitionArn": "task:1", "containerDefinitions": [container("api", script, healthCheck=check)]}

    async def play() -> None:
        host = replace(make_host(), time_scale=1000.0, notify=events.append)
        task = Task(parse_task_definition(description), host, group="api")
        task.start()
        try:
            async with asyncio.timeout(60):
                await task.wait_until_ready()
                await logged(task, "api", "1000")
                (tmp,) = host.directory.glob("*/api-tmp")
                (tmp / "ill").touch()
                await task.unhealthy.wait()
            assert not task.is_ready
            assert not task.stopped.is_set(), "ECS starts its replacement first"
            (found,) = task.containers
            assert (found.record.in_a_row, found.record.most_in_a_row, found.record.failed) == (3, 3, 3)
            assert found.record.checks > 3
        finally:
            await task.stop("the test ends")
        assert task.ailment is not None
        assert "essential container api failed its health checks" in task.ailment

    asyncio.run(play())
    assert events[0].endswith("is HEALTHY")
    assert [line.rpartition("failed, ")[2] for line in events[1:-1]] == [
        f"exit code 1 ({count} in a row, 3 are too many)" for count in (1, 2, 3)
    ]
    assert events[-1].endswith("is UNHEALTHY")


def test_a_container_that_drains_is_not_checked(make_host: HostFactory) -> None:
    events: list[str] = []
    check = {"command": ["CMD-SHELL", "test ! -e $TMPDIR/ill"], "interval": 0.1, "retries": 1}
    drain = "Path(os.environ['TMPDIR'], 'ill').touch(), time.sleep(1.5), os._exit(0)"
    script = f"signal.signal(signal.SIGTERM, lambda *_: ({drain})); time.sleep(600)"
    description = {"taskDefinitionArn": "task:1", "containerDefinitions": [container("api", script, healthCheck=check)]}

    async def play() -> None:
        task = Task(parse_task_definition(description), replace(make_host(), notify=events.append), group="api")
        task.start()
        async with asyncio.timeout(60):
            await task.wait_until_ready()
            await task.stop("replaced")
        assert task.reason == "replaced"

    asyncio.run(play())
    assert [event.rpartition(" is ")[2] for event in events] == ["HEALTHY"]


def test_the_environment_is_what_is_declared_and_nothing_else(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the user")
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")

    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        (found,) = task.containers
        seen = json.loads(found.log.read_text())
        environment = seen["environment"]
        engine = {name: environment.pop(name) for name in ("PATH", "HOME", "HOSTNAME", "TMPDIR")}
        environment.pop("LC_CTYPE", None)  # Python sets it itself (PEP 538)
        assert environment == {
            "FROM_IMAGE": "yes",
            "ENVIRONMENT": "dev",
            "BIND_HOST": task.address,
            "PGHOST": "localhost",
            "PGPORT": "15432",
            "PGSSLROOTCERT": str(tmp_path / "ca" / "ca.pem"),
            "MISSING": "/app/missing.pem",
            "PUBLIC_BASE_URL": "https://localhost:10443",
            "SCRATCH": f"{engine['TMPDIR']}/scratch",
            "PGUSER": "app",
            "PGPASSWORD": "/app/p w",
        }
        assert engine["PATH"].split(":")[0] == str(Path(seen["executable"]).parent)
        assert engine["PATH"].split(":")[1:] == ["/usr/local/bin", "/usr/bin", "/bin"]
        assert engine["TMPDIR"].startswith(str(tmp_path))
        assert seen["directory"].endswith("/root/app")
        assert task.address.startswith("127.")

    script = (
        "print(json.dumps({'environment': dict(os.environ), 'directory': os.getcwd(), 'executable': sys.executable}))"
    )
    environment = {
        "ENVIRONMENT": "dev",
        "BIND_HOST": "0.0.0.0",
        "PGHOST": "db.example",
        "PGPORT": "5432",
        "PGSSLROOTCERT": "/app/rds.pem",
        "MISSING": "/app/missing.pem",
        "PUBLIC_BASE_URL": "https://alb.example",
        "SCRATCH": "/tmp/scratch",
    }
    secrets = {"PGUSER": "arn:user", "PGPASSWORD": "arn:password"}
    run(
        scenario,
        container(
            "api",
            script,
            environment=[{"name": name, "value": value} for name, value in environment.items()],
            secrets=[{"name": name, "valueFrom": reference} for name, reference in secrets.items()],
        ),
    )


def test_containers_share_a_volume_and_nothing_else(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "api").split() == ["False", "True"]

    write = "[Path(os.environ[name], 'file').touch() for name in ('TMPDIR', 'SHARED')]"
    read = "[print(Path(os.environ[name], 'file').exists()) for name in ('TMPDIR', 'SHARED')]"
    shared = {
        "environment": [{"name": "SHARED", "value": "/shared"}],
        "mountPoints": [{"containerPath": "/shared", "sourceVolume": "scratch"}],
    }
    run(
        scenario,
        container("migrate", write, essential=False, **shared),
        container("api", read, dependsOn=SUCCESS, **shared),
    )


def test_a_container_that_ignores_sigterm_is_killed_after_its_stop_timeout(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        await logged(task, "api", "running")
        began = time.monotonic()
        await task.stop("replaced")
        assert time.monotonic() - began >= 1, "its stopTimeout"
        assert task.containers[0].exit_code == 137
        assert task.reason == "replaced"

    script = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('running', flush=True); time.sleep(600)"
    run(scenario, container("api", script, stopTimeout=1))


def test_children_of_a_container_end_with_it(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        child = int(log_of(task, "api"))
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    script = "import subprocess; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    run(scenario, container("api", script))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "registry/never:pushed"}, "CannotPullContainerError: registry/never:pushed"),
        ({"command": ["no-such-program"]}, r"CannotStartContainerError: container api: .*no-such-program"),
        ({"secrets": [{"name": "KEY", "valueFrom": "arn:none"}]}, "ResourceInitializationError"),
    ],
)
def test_what_cannot_start_says_why(run: Callable[..., None], change: dict[str, Any], message: str) -> None:
    async def scenario(task: Task) -> None:
        with pytest.raises(TaskFailedError, match=message):
            await task.wait_until_ready()

    run(scenario, {**container("api", FOREVER), **change})


def test_a_start_timeout_bounds_the_wait_for_a_dependency(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        assert "migrate did not reach SUCCESS within its startTimeout of 1 s" in await failure(task)

    migrate = container("migrate", FOREVER, essential=False, startTimeout=1)
    run(scenario, migrate, container("api", FOREVER, dependsOn=SUCCESS))


def test_the_interpreter_is_the_images_own(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "api").strip() != sys.prefix

    run(scenario, container("api", "print(sys.prefix)"))
