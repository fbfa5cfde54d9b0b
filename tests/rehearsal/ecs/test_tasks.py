"""Tasks start, fail and stop as in ECS."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task, TaskHost
from rehearsal.host.errors import TaskFailedError
from tests.rehearsal.ecs.stand_in import container

pytestmark = pytest.mark.rehearsal

FOREVER = "stop_on_sigterm(); print('running', flush=True); time.sleep(600)"
COMPLETE = [{"containerName": "migrate", "condition": "COMPLETE"}]


@pytest.fixture
def run(host: TaskHost) -> Callable[..., None]:
    """Return a function that runs a scenario with a task of these containers, and checks that nothing is left."""

    def runner(scenario: Callable[[Task], Coroutine[None, None, None]], *containers: dict[str, object]) -> None:
        async def run_task() -> None:
            description = {"taskDefinitionArn": "task:1", "containerDefinitions": list(containers)}
            task = Task(parse_task_definition(description), host, group="api")
            task.start()
            pids: tuple[int, ...] = ()
            try:
                async with asyncio.timeout(60):
                    await scenario(task)
                    pids = task.pids
            finally:
                await task.stop("end of the test")
            assert not [pid for pid in pids if psutil.pid_exists(pid)]
            assert task.pids == ()
            assert not list(host.directory.glob("*"))
            assert not list((host.directory.parent / "processes").glob("*"))

        asyncio.run(run_task())

    return runner


def log_of(task: Task, name: str) -> str:
    (found,) = [entry for entry in task.containers if entry.name == name]
    return found.log.read_text() if found.log.exists() else ""


async def wait_for_log(task: Task, name: str, text: str) -> None:
    while text not in log_of(task, name):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.01)


async def failure(task: Task) -> str:
    with pytest.raises(TaskFailedError) as info:
        await task.wait_until_ready()
    return str(info.value)


def test_a_container_starts_after_its_dependency_has_exited(run: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        await wait_for_log(task, "api", "migrated: True")
        assert task.is_ready

    file = tmp_path / "migrated"
    migrate = container("migrate", f"time.sleep(0.3); Path('{file}').touch()", essential=False)
    api = container("api", f"print('migrated:', Path('{file}').exists(), flush=True); {FOREVER}", dependsOn=COMPLETE)
    run(scenario, api, migrate)


def test_a_failed_dependency_is_reported_with_the_failure(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        reason = await failure(task)
        assert "essential container api exited with code 3" in reason
        assert "the schema is too old" in reason
        assert "container migrate exited with code 1 before" in reason
        assert "column amount already exists" in reason

    migrate = container("migrate", "print('column amount already exists'); sys.exit(1)", essential=False)
    run(scenario, migrate, container("api", "print('the schema is too old'); sys.exit(3)", dependsOn=COMPLETE))


def test_a_container_starts_although_its_dependency_failed(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        assert "running" in log_of(task, "api")

    run(scenario, container("migrate", "sys.exit(1)", essential=False), container("api", FOREVER, dependsOn=COMPLETE))


def test_a_crash_is_reported_with_exit_code_and_log(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        reason = await failure(task)
        assert "essential container api exited with code 1" in reason
        assert "RuntimeError: unknown setting" in reason

    run(scenario, container("api", "raise RuntimeError('unknown setting')"))


def test_a_killed_process_has_the_exit_code_of_its_signal(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        assert "essential container api exited with code 137" in await failure(task)

    run(scenario, container("api", "os.kill(os.getpid(), signal.SIGKILL)"))


def test_the_exit_of_an_essential_container_stops_the_task(run: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "sidecar").split() == ["running", "stopped"]
        assert task.stop_reason is not None
        assert "essential container api exited with code 0" in task.stop_reason

    file = tmp_path / "running"
    api = container("api", f"while not Path('{file}').exists(): time.sleep(0.01)")
    sidecar = f"stop_on_sigterm(); print('running', flush=True); Path('{file}').touch(); time.sleep(600)"
    run(scenario, api, container("sidecar", sidecar, essential=False))


def test_a_task_is_ready_once_its_containers_are_healthy(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        assert "warm" in log_of(task, "api")

    warm_up = "time.sleep(1.5); Path(os.environ['TMPDIR'], 'warm').touch(); print('warm', flush=True)"
    script = f"stop_on_sigterm(); {warm_up}; time.sleep(600)"
    check = {"command": ["CMD-SHELL", "test -e $TMPDIR/warm"], "interval": 5, "retries": 3}
    run(scenario, container("api", script, healthCheck=check))


def test_a_container_is_unhealthy_after_its_start_period_and_retries(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        assert "essential container api failed its health checks" in await failure(task)
        record = task.containers[0].record
        assert record.checks > record.failures >= 2, "failures in the start period do not count"

    check = {"command": ["CMD", "python", "-c", "raise SystemExit(1)"], "interval": 0.5, "retries": 2, "startPeriod": 1}
    run(scenario, container("api", FOREVER, healthCheck=check))


def test_a_time_scale_shortens_the_intervals_of_health_checks(host: TaskHost, tmp_path: Path) -> None:
    events: list[str] = []
    check = {"command": ["CMD-SHELL", "test ! -e $TMPDIR/fail"], "interval": 300, "retries": 3}
    description = {
        "taskDefinitionArn": "task:1",
        "containerDefinitions": [container("api", FOREVER, healthCheck=check)],
    }

    async def run_task() -> None:
        scaled = replace(host, time_scale=1000.0, notify=events.append)
        task = Task(parse_task_definition(description), scaled, group="api")
        task.start()
        try:
            async with asyncio.timeout(60):
                await task.wait_until_ready()
                (tmp,) = host.directory.glob("*/api-tmp")
                (tmp / "fail").touch()
                await task.unhealthy.wait()
            assert not task.is_ready
            assert not task.stopped.is_set(), "ECS starts its replacement first"
            record = task.containers[0].record
            assert (record.failures, record.consecutive_failures, record.most_consecutive_failures) == (3, 3, 3)
            assert record.checks > 3
        finally:
            await task.stop("end of the test")
        assert task.unhealthy_reason is not None
        assert "essential container api failed its health checks" in task.unhealthy_reason

    asyncio.run(run_task())
    assert events[0].endswith("is HEALTHY")
    assert [line.rpartition("failed: ")[2] for line in events[1:-1]] == [
        f"exit code 1 ({count} of 3)" for count in (1, 2, 3)
    ]
    assert events[-1].endswith("is UNHEALTHY")


def test_the_health_of_a_stopping_container_is_not_checked(host: TaskHost) -> None:
    events: list[str] = []
    check = {"command": ["CMD-SHELL", "test ! -e $TMPDIR/fail"], "interval": 0.1, "retries": 1}
    drain = "Path(os.environ['TMPDIR'], 'fail').touch(), time.sleep(1.5), os._exit(0)"
    script = f"signal.signal(signal.SIGTERM, lambda *_: ({drain})); time.sleep(600)"
    description = {"taskDefinitionArn": "task:1", "containerDefinitions": [container("api", script, healthCheck=check)]}

    async def run_task() -> None:
        task = Task(parse_task_definition(description), replace(host, notify=events.append), group="api")
        task.start()
        async with asyncio.timeout(60):
            await task.wait_until_ready()
            await task.stop("replaced")
        assert task.stop_reason == "replaced"

    asyncio.run(run_task())
    assert [event.rpartition(" is ")[2] for event in events] == ["HEALTHY"]


def test_a_container_has_only_its_declared_environment(
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


def test_a_container_that_ignores_sigterm_is_killed(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        await wait_for_log(task, "api", "running")
        await task.stop("replaced")
        assert "ignored" in log_of(task, "api")
        assert task.containers[0].exit_code == 137
        assert task.stop_reason == "replaced"

    ignore = "signal.signal(signal.SIGTERM, lambda *_: print('ignored', flush=True))"
    script = f"{ignore}; print('running', flush=True); [time.sleep(1) for _ in range(600)]"
    run(scenario, container("api", script, stopTimeout=1))


def test_child_processes_end_with_their_container(run: Callable[..., None]) -> None:
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
    ids=["image", "command", "secret"],
)
def test_a_task_that_cannot_start_is_reported(run: Callable[..., None], change: dict[str, object], message: str) -> None:
    async def scenario(task: Task) -> None:
        with pytest.raises(TaskFailedError, match=message):
            await task.wait_until_ready()

    run(scenario, {**container("api", FOREVER), **change})


def test_the_interpreter_is_that_of_the_image(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "api").strip() != sys.prefix

    run(scenario, container("api", "print(sys.prefix)"))
