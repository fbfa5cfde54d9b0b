"""Containers of a container engine have the restrictions of their task definitions."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.ecr.container_engine import ContainerEngine
from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.environments import ContainerLaunch
from rehearsal.ecs.isolation import EngineIsolation
from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task, TaskHost
from rehearsal.host.errors import ContainerEngineError
from tests.rehearsal.ecs.stand_in import IMAGE

LABEL = "rehearsal=/tasks"
HARDENED: dict[str, object] = {
    "user": "10001:10001",
    "readonlyRootFilesystem": True,
    "linuxParameters": {
        "initProcessEnabled": True,
        "capabilities": {"drop": ["ALL"]},
        "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["rw", "noexec"]}],
    },
}


def isolation(images: ImageStore, host: TaskHost, **more: object) -> EngineIsolation:
    entry = {
        "name": "api",
        "image": IMAGE,
        "command": ["serve", "0.0.0.0:8443"],
        "environment": [{"name": "PGHOST", "value": "db.example"}, {"name": "PGSSLROOTCERT", "value": "/app/rds.pem"}],
        "secrets": [{"name": "PGPASSWORD", "valueFrom": "arn:password"}],
        **more,
    }
    (definition,) = parse_task_definition({"taskDefinitionArn": "t:1", "containerDefinitions": [entry]}).containers
    launch = ContainerLaunch(
        definition=definition,
        image=images.pull(IMAGE),
        address="127.1.2.3",
        hostname="api",
        tmp=host.directory / "tmp",
        discovery=host.discovery,
        secrets={"PGPASSWORD": "of the database"},
    )
    return EngineIsolation(launch, ContainerEngine(program="docker"), name="rehearsal-1-api", label=LABEL)


def test_a_container_has_the_declared_restrictions(images: ImageStore, host: TaskHost) -> None:
    command = " ".join(isolation(images, host, **HARDENED).main().command)
    for option in ("--user 10001:10001", "--read-only", "--init", "--cap-drop ALL", "--tmpfs /tmp:rw,noexec,size=64m"):
        assert option in command
    assert f"--label {LABEL} --network host" in command
    assert "/ca/" in command.split(":/app/rds.pem:ro")[0].split()[-1], (
        "the root of the local databases replaces those of RDS"
    )
    assert command.endswith("serve 127.1.2.3:8443"), "nothing listens on all addresses"


def test_without_declared_restrictions_there_are_none(images: ImageStore, host: TaskHost) -> None:
    command = " ".join(isolation(images, host).main().command)
    for option in ("--user", "--read-only", "--init", "--cap-drop", "--tmpfs"):
        assert option not in command


def test_secrets_are_not_in_the_command_line(images: ImageStore, host: TaskHost) -> None:
    invocation = isolation(images, host).main()
    assert "of the database" not in " ".join(invocation.command)
    assert "--env PGPASSWORD" in " ".join(invocation.command)
    assert invocation.environment["PGPASSWORD"] == "of the database"
    assert "of the database" not in repr(invocation)


@pytest.mark.rehearsal
def test_a_task_stops_although_the_container_is_not_removed(
    host: TaskHost, images: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ContainerEngineError("`docker rm` did not finish within 60 seconds")

    monkeypatch.setattr(ContainerEngine, "remove", fail)
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    engine = ContainerEngine(program=str(program))
    store = ImageStore(tmp_path / "store")
    store.build(tmp_path / "context", tags=["service:1"], engine_id="sha256:abc")
    store.mark_pushed("service:1")
    entry = {"name": "api", "image": "service:1", "command": ["serve"]}
    definition = parse_task_definition({"taskDefinitionArn": "t:1", "containerDefinitions": [entry]})
    task = Task(definition, replace(host, images=store, engine=engine), group="api")

    async def run_task() -> None:
        task.start()
        await task.wait_until_ready()
        async with asyncio.timeout(20):
            await task.stop("end of the test")

    asyncio.run(run_task())
    assert task.stopped.is_set()
