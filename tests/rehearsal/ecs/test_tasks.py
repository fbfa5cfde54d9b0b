"""Tasks start, fail and stop as in ECS."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task, TaskHost
from rehearsal.host.errors import TaskFailedError
from tests.rehearsal.ecs.stand_in import Gate, container
from tests.waiting import wait_until_async

pytestmark = pytest.mark.rehearsal

FOREVER = "stop_on_sigterm(); print('running', flush=True); signal.pause()"
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
    logs = [entry.log for entry in task.containers if entry.name == name]
    return "".join(log.read_text() for log in logs if log.exists())


async def wait_for_log(task: Task, name: str, text: str) -> None:
    await wait_until_async(lambda: text in log_of(task, name), f"{text!r} in the log of {name}")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def failure(task: Task) -> str:
    with pytest.raises(TaskFailedError) as info:
        await task.wait_until_ready()
    return str(info.value)


def test_a_container_starts_after_its_dependency_has_exited(
    run: Callable[..., None], gate: Gate, tmp_path: Path
) -> None:
    async def scenario(task: Task) -> None:
        await wait_for_log(task, "migrate", "migrating")
        assert len(task.pids) == 1
        gate.open()
        await task.wait_until_ready()
        await wait_for_log(task, "api", "migrated: True")
        assert task.is_ready

    file = tmp_path / "migrated"
    script = f"print('migrating', flush=True); wait_at('{gate}'); Path('{file}').touch()"
    migrate = container("migrate", script, essential=False)
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


def test_the_exit_of_an_essential_container_stops_the_task(run: Callable[..., None], gate: Gate) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "sidecar").split() == ["running", "stopped"]
        assert task.stop_reason is not None
        assert "essential container api exited with code 0" in task.stop_reason

    sidecar = f"stop_on_sigterm(); print('running', flush=True); Path('{gate}').write_text('.'); signal.pause()"
    run(scenario, container("api", f"wait_at('{gate}')"), container("sidecar", sidecar, essential=False))


def test_a_task_is_ready_once_its_containers_are_healthy(run: Callable[..., None], gate: Gate) -> None:
    async def scenario(task: Task) -> None:
        await wait_until_async(lambda: task.containers and task.containers[0].record.checks, "a failed health check")
        assert not task.is_ready
        gate.open()
        await task.wait_until_ready()

    script = f"stop_on_sigterm(); wait_at('{gate}'); Path(os.environ['TMPDIR'], 'warm').touch(); signal.pause()"
    check = {"command": ["CMD-SHELL", "test -e $TMPDIR/warm"], "interval": 0.1, "retries": 1, "startPeriod": 60}
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


def test_the_health_of_a_stopping_container_is_not_checked(run: Callable[..., None], gate: Gate) -> None:
    async def scenario(task: Task) -> None:
        await task.wait_until_ready()
        await wait_for_log(task, "api", "running")
        sidecar, api = (container.record for container in task.containers)
        stop = asyncio.create_task(task.stop("replaced"))
        await wait_for_log(task, "api", "draining")
        before = api.checks
        later = sidecar.checks + 3  # it stops after the api: its checks go on, and show that time passes
        await wait_until_async(lambda: sidecar.checks >= later, "three health checks of the sidecar")
        assert api.checks == before
        gate.open()
        await stop
        assert task.stop_reason == "replaced"

    check = {"healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 0.1}}
    drain = f"print('draining', flush=True), wait_at('{gate}'), os._exit(0)"
    script = f"signal.signal(signal.SIGTERM, lambda *_: ({drain})); print('running', flush=True); signal.pause()"
    run(scenario, container("sidecar", FOREVER, **check), container("api", script, **check))


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
    script = f"{ignore}; print('running', flush=True); threading.Event().wait()"
    run(scenario, container("api", script, stopTimeout=1))


def test_child_processes_end_with_their_container(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        child = int(log_of(task, "api"))
        await wait_until_async(lambda: not is_running(child), "the end of the child process")

    script = "import subprocess; print(subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']).pid)"
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
def test_a_task_that_cannot_start_is_reported(
    run: Callable[..., None], change: dict[str, object], message: str
) -> None:
    async def scenario(task: Task) -> None:
        with pytest.raises(TaskFailedError, match=message):
            await task.wait_until_ready()

    run(scenario, {**container("api", FOREVER), **change})


def test_the_interpreter_is_that_of_the_image(run: Callable[..., None]) -> None:
    async def scenario(task: Task) -> None:
        await task.stopped.wait()
        assert log_of(task, "api").strip() != sys.prefix

    run(scenario, container("api", "print(sys.prefix)"))
