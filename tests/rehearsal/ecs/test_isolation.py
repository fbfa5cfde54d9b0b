"""Where a container engine is used, the image is built and run by it, as confined as its task definition says."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rehearsal.ecr.container_engine import ENGINE_VARIABLE, find_engine
from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.environments import Place
from rehearsal.ecs.isolation import EngineIsolation, Launch, container_label
from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task
from rehearsal.host.errors import ContainerEngineError, ImageError
from tests.rehearsal.ecs.stand_in import IMAGE, HostFactory

SERVICE = Path(__file__).parents[3] / "service"
HARDENED: dict[str, Any] = {
    "user": "10001:10001",
    "readonlyRootFilesystem": True,
    "linuxParameters": {
        "initProcessEnabled": True,
        "capabilities": {"drop": ["ALL"]},
        "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["rw", "noexec"]}],
    },
}


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_docker_is_used_where_its_daemon_answers(tmp_path: Path) -> None:
    docker = program(tmp_path, "docker", "exit 1")
    assert find_engine({"PATH": str(tmp_path)}) is None, "a client without its daemon is no engine"
    program(tmp_path, "docker", 'test "$1" = info')
    assert find_engine({"PATH": str(tmp_path)}) == Engine(program=str(docker))
    assert find_engine({"PATH": str(tmp_path), ENGINE_VARIABLE: "none"}) is None


def test_an_engine_that_was_asked_for_and_does_not_answer_is_an_error(tmp_path: Path) -> None:
    program(tmp_path, "podman", "exit 1")
    with pytest.raises(ContainerEngineError, match="REHEARSE_ENGINE=podman: `podman info` does not answer"):
        find_engine({"PATH": str(tmp_path), ENGINE_VARIABLE: "podman"})


def test_a_dockerfile_that_does_not_build_fails_the_asset(tmp_path: Path) -> None:
    engine = Engine(program=str(program(tmp_path, "docker", f'echo "$@" > {tmp_path}/called; exit 7')))
    with pytest.raises(ImageError, match="ended with exit status 7; REHEARSE_ENGINE=none"):
        engine.build(tmp_path, dockerfile=tmp_path / "Dockerfile", target="runtime", arguments={"VERSION": "1"})
    called = (tmp_path / "called").read_text()
    assert called.startswith("build --iidfile ")
    assert called.endswith(f"--file {tmp_path}/Dockerfile --target runtime --build-arg VERSION=1 {tmp_path}\n")


def test_an_image_is_what_the_engine_built(tmp_path: Path) -> None:
    script = 'while [ "$1" != --iidfile ]; do shift; done; echo sha256:abc > "$2"'
    engine = Engine(program=str(program(tmp_path, "docker", script)))
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    engine_id = engine.build(tmp_path, dockerfile=None, target=None, arguments={})
    store = ImageStore(tmp_path / "images")
    plain = store.build(tmp_path, tags=["plain:1"])
    built = store.build(tmp_path, tags=["built:1"], engine_id=engine_id)
    assert (plain.engine_id, built.engine_id) == ("", "sha256:abc")
    assert plain.digest != built.digest


def isolation(images: ImageStore, host: HostFactory, tmp_path: Path, **more: Any) -> EngineIsolation:
    entry = {
        "name": "api",
        "image": IMAGE,
        "command": ["serve", "0.0.0.0:8443"],
        "environment": [{"name": "PGHOST", "value": "db.example"}, {"name": "PGSSLROOTCERT", "value": "/app/rds.pem"}],
        "secrets": [{"name": "PGPASSWORD", "valueFrom": "arn:password"}],
        **more,
    }
    (definition,) = parse_task_definition({"taskDefinitionArn": "t:1", "containerDefinitions": [entry]}).containers
    launch = Launch(
        definition=definition,
        image=images.published(IMAGE),
        place=Place(address="127.1.2.3", hostname="api", mounts={}),
        localities=host().localities,
        secrets={"PGPASSWORD": "of the database"},
    )
    return EngineIsolation(launch, Engine(program="docker"), name="rehearsal-1-api", directory=tmp_path)


def test_a_container_is_confined_as_declared(images: ImageStore, make_host: HostFactory, tmp_path: Path) -> None:
    command = " ".join(isolation(images, make_host, tmp_path, **HARDENED).main().command)
    for option in ("--user 10001:10001", "--read-only", "--init", "--cap-drop ALL", "--tmpfs /tmp:rw,noexec,size=64m"):
        assert option in command
    assert f"--label {container_label(tmp_path)} --network host" in command
    assert "/ca/" in command.split(":/app/rds.pem:ro")[0].split()[-1], "the databases' authority stands for RDS's roots"
    assert command.endswith("serve 127.1.2.3:8443"), "nothing listens on every address"


def test_a_container_gets_nothing_that_is_not_declared(
    images: ImageStore, make_host: HostFactory, tmp_path: Path
) -> None:
    command = " ".join(isolation(images, make_host, tmp_path).main().command)
    for option in ("--user", "--read-only", "--init", "--cap-drop", "--tmpfs"):
        assert option not in command


def test_secrets_are_in_no_command_line(images: ImageStore, make_host: HostFactory, tmp_path: Path) -> None:
    invocation = isolation(images, make_host, tmp_path).main()
    assert "of the database" not in " ".join(invocation.command)
    assert "--env PGPASSWORD" in " ".join(invocation.command)
    assert invocation.environment["PGPASSWORD"] == "of the database"
    assert "of the database" not in repr(invocation)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine of this machine; most have none."""
    found = find_engine(os.environ)
    if found is None:
        pytest.skip(f"no container engine answers; {ENGINE_VARIABLE} names one")
    return found


@pytest.fixture(scope="module")
def service_image(engine: Engine) -> str:
    """The service's image, built from its Dockerfile."""
    return engine.build(SERVICE, dockerfile=None, target=None, arguments={})


@pytest.mark.rehearsal
@pytest.mark.xdist_group("container-engine")
def test_the_service_s_image_runs_as_its_task_definition_confines_it(
    engine: Engine, service_image: str, make_host: HostFactory, tmp_path: Path
) -> None:
    look = """
import os, pathlib, signal, sys, time
import payments.web.app, payments.worker.main
print(sys.version_info[:2], os.getuid(), flush=True)
for path in ("/app/new", "/usr/new", "/tmp/new"):
    try:
        pathlib.Path(path).touch()
        print(path, "written", flush=True)
    except OSError as error:
        print(path, error.strerror, flush=True)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
time.sleep(600)
"""
    host = make_host()
    store = ImageStore(tmp_path / "store")
    store.build(SERVICE, tags=["service:1"], engine_id=service_image)
    store.mark_pushed("service:1")
    entry = {
        "name": "api",
        "image": "service:1",
        "command": ["python", "-c", look],
        "environment": [{"name": "BIND_HOST", "value": "0.0.0.0"}],
        "healthCheck": {"command": ["CMD", "test", "-e", "/tmp/new"], "interval": 5, "startPeriod": 60},
        **HARDENED,
    }
    definition = parse_task_definition({"taskDefinitionArn": "t:1", "containerDefinitions": [entry]})
    task = Task(definition, replace(host, images=store, engine=engine), group="api")

    async def play() -> None:
        task.start()
        try:
            await task.wait_until_ready()
            assert engine.labelled(container_label(host.directory)), "it runs in the engine"
        finally:
            await task.stop("the test ends")

    asyncio.run(play())
    (container,) = task.containers
    assert container.exit_code == 0, container.log.read_text()
    assert container.log.read_text().splitlines() == [
        "(3, 13) 10001",
        "/app/new Read-only file system",
        "/usr/new Read-only file system",
        "/tmp/new written",
        "['0000000000000000']",
    ]
    assert engine.labelled(container_label(host.directory)) == []


@pytest.mark.rehearsal
def test_a_task_ends_even_if_its_engine_cannot_remove_the_container(
    make_host: HostFactory, images: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ContainerEngineError("`docker rm` has not answered for 60 seconds; containers may be left")

    monkeypatch.setattr(Engine, "remove", fail)
    engine = Engine(program=str(program(tmp_path, "docker", "echo up; exec sleep 600")))
    store = ImageStore(tmp_path / "store")
    store.build(tmp_path / "context", tags=["service:1"], engine_id="sha256:abc")
    store.mark_pushed("service:1")
    entry = {"name": "api", "image": "service:1", "command": ["serve"]}
    definition = parse_task_definition({"taskDefinitionArn": "t:1", "containerDefinitions": [entry]})
    task = Task(definition, replace(make_host(), images=store, engine=engine), group="api")

    async def play() -> None:
        task.start()
        await task.wait_until_ready()
        async with asyncio.timeout(20):
            await task.stop("the test ends")

    asyncio.run(play())
    assert task.stopped.is_set()
