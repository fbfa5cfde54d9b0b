"""Where a container engine answers, the image is built for real; where none does, nothing waits for one."""

from pathlib import Path

import pytest

from rehearsal.compute.engine import ENGINE_VARIABLE, build_with_engine, find_engine
from rehearsal.compute.errors import ImageError


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_client_without_its_daemon_is_no_engine(tmp_path: Path) -> None:
    program(tmp_path, "docker", "exit 1")
    assert find_engine(str(tmp_path)) == ""
    podman = program(tmp_path, "podman", 'test "$1" = info')
    assert find_engine(str(tmp_path)) == str(podman)


def test_no_engine_means_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    build_with_engine(tmp_path, None, {})


def test_a_dockerfile_that_does_not_build_fails_the_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = program(tmp_path, "docker", f'echo "$@" > {tmp_path}/called; exit 7')
    monkeypatch.setenv(ENGINE_VARIABLE, str(engine))
    with pytest.raises(ImageError, match="ended with exit status 7"):
        build_with_engine(tmp_path, tmp_path / "Dockerfile", {"VERSION": "1"})
    called = (tmp_path / "called").read_text()
    assert called.startswith("build --tag rehearsal/")
    assert called.endswith(f"--file {tmp_path}/Dockerfile --build-arg VERSION=1 {tmp_path}\n")
