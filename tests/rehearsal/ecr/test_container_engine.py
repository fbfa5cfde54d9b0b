"""A container engine is used if there is one."""

from pathlib import Path

import pytest

from rehearsal.ecr.container_engine import ENGINE_VARIABLE, ContainerEngine, find_engine
from rehearsal.ecr.images import ImageStore
from rehearsal.host.errors import ContainerEngineError, ImageError


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_docker_is_used_if_its_daemon_responds(tmp_path: Path) -> None:
    docker = program(tmp_path, "docker", "exit 1")
    assert find_engine({"PATH": str(tmp_path)}) is None, "a client without its daemon is not an engine"
    program(tmp_path, "docker", 'test "$1" = info')
    assert find_engine({"PATH": str(tmp_path)}) == ContainerEngine(program=str(docker))
    assert find_engine({"PATH": str(tmp_path), ENGINE_VARIABLE: "none"}) is None


def test_a_requested_engine_must_respond(tmp_path: Path) -> None:
    program(tmp_path, "podman", "exit 1")
    with pytest.raises(ContainerEngineError, match="REHEARSE_ENGINE=podman: `podman info` failed"):
        find_engine({"PATH": str(tmp_path), ENGINE_VARIABLE: "podman"})


def test_a_failed_build_is_an_error(tmp_path: Path) -> None:
    engine = ContainerEngine(program=str(program(tmp_path, "docker", f'echo "$@" > {tmp_path}/called; exit 7')))
    with pytest.raises(ImageError, match="exited with status 7; REHEARSE_ENGINE=none"):
        engine.build(tmp_path)
    called = (tmp_path / "called").read_text()
    assert called.startswith("build --iidfile ")
    assert called.endswith(f"/id {tmp_path}\n")


def test_an_image_has_the_id_that_the_engine_built(tmp_path: Path) -> None:
    script = 'while [ "$1" != --iidfile ]; do shift; done; echo sha256:abc > "$2"'
    engine = ContainerEngine(program=str(program(tmp_path, "docker", script)))
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    engine_id = engine.build(tmp_path)
    store = ImageStore(tmp_path / "images")
    plain = store.build(tmp_path, tags=["plain:1"])
    built = store.build(tmp_path, tags=["built:1"], engine_id=engine_id)
    assert (plain.engine_id, built.engine_id) == ("", "sha256:abc")
    assert plain.digest != built.digest
