"""The image of the service, built and run by a container engine."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.ecr.container_engine import ENGINE_VARIABLE, ContainerEngine, find_engine
from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.isolation import container_label
from rehearsal.ecs.task_definitions import parse_task_definition
from rehearsal.ecs.tasks import Task
from tests.rehearsal.ecs.stand_in import create_host

SERVICE = Path(__file__).parents[2] / "service"
HARDENED: dict[str, object] = {
    "user": "10001:10001",
    "readonlyRootFilesystem": True,
    "linuxParameters": {
        "initProcessEnabled": True,
        "capabilities": {"drop": ["ALL"]},
        "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["rw", "noexec"]}],
    },
}


@pytest.fixture(scope="module")
def engine() -> ContainerEngine:
    """The engine of this machine; most have none."""
    found = find_engine(os.environ)
    if found is None:
        pytest.skip(f"no container engine responds; {ENGINE_VARIABLE} selects one")
    return found


@pytest.fixture(scope="module")
def service_image(engine: ContainerEngine) -> str:
    """The service's image, built from its Dockerfile."""
    return engine.build(SERVICE)


@pytest.mark.rehearsal
@pytest.mark.xdist_group("container-engine")
def test_the_image_runs_with_the_restrictions_of_its_task_definition(
    engine: ContainerEngine, service_image: str, tmp_path: Path
) -> None:
    script = """
import os, pathlib, signal, sys
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
signal.pause()
"""
    host = create_host(tmp_path, ImageStore(tmp_path / "images"))
    store = ImageStore(tmp_path / "store")
    store.build(SERVICE, tags=["service:1"], engine_id=service_image)
    store.mark_pushed("service:1")
    entry = {
        "name": "api",
        "image": "service:1",
        "command": ["python", "-c", script],
        "environment": [{"name": "BIND_HOST", "value": "0.0.0.0"}],
        "healthCheck": {"command": ["CMD", "test", "-e", "/tmp/new"], "interval": 5, "startPeriod": 60},
        **HARDENED,
    }
    definition = parse_task_definition({"taskDefinitionArn": "t:1", "containerDefinitions": [entry]})
    task = Task(definition, replace(host, images=store, engine=engine), group="api")

    async def run_task() -> None:
        task.start()
        try:
            await task.wait_until_ready()
            assert engine.find_containers(container_label(host.directory)), "it runs in the engine"
        finally:
            await task.stop("end of the test")

    asyncio.run(run_task())
    (container,) = task.containers
    assert container.exit_code == 0, container.log.read_text()
    assert container.log.read_text().splitlines() == [
        "(3, 13) 10001",
        "/app/new Read-only file system",
        "/usr/new Read-only file system",
        "/tmp/new written",
        "['0000000000000000']",
    ]
    assert engine.find_containers(container_label(host.directory)) == []
