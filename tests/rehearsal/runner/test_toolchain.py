"""A build has the build image's tools, and no access to what belongs to the user."""

import os
import platform
import subprocess
from pathlib import Path

from rehearsal.runner.toolchain import Toolchain
from rehearsal.runner.workspace import Workspace


def environment(folder: Path, **base: str) -> dict[str, str]:
    toolchain = Toolchain(workspace=Workspace(checkout=folder), images=folder / "images")
    return toolchain.environment(trust=folder / "trust.pem", base=base)


def test_a_build_inherits_no_credentials(tmp_path: Path) -> None:
    variables = environment(tmp_path, AWS_SECRET_ACCESS_KEY="x", GITHUB_TOKEN="x", HOME="/home/user", VIRTUAL_ENV="x")
    assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "VIRTUAL_ENV"} & variables.keys()
    assert variables["HOME"] == str(tmp_path / ".run" / "rehearsal" / "home")


def test_a_build_reaches_package_registries_as_the_user_does(tmp_path: Path) -> None:
    variables = environment(tmp_path, HTTPS_PROXY="http://127.0.0.1:3128", PIP_INDEX_URL="https://packages.example.com")
    assert variables["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert variables["PIP_INDEX_URL"] == "https://packages.example.com"


def test_a_build_does_not_use_the_tools_of_the_checkout(tmp_path: Path) -> None:
    path = environment(tmp_path, PATH=f"{tmp_path}/.venv/bin:/usr/bin")["PATH"].split(":")
    assert f"{tmp_path}/.venv/bin" not in path
    assert path[0] == str(tmp_path / ".run" / "toolchain" / "bin")
    assert path[-1] == "/usr/bin"


def test_all_tools_trust_the_same_roots(tmp_path: Path) -> None:
    variables = environment(tmp_path)
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CURL_CA_BUNDLE")
    assert {variables[name] for name in names} == {str(tmp_path / "trust.pem")}


def test_the_docker_command_keeps_its_bytecode_apart(tmp_path: Path) -> None:
    workspace = Workspace(checkout=tmp_path)
    toolchain = Toolchain(workspace=workspace, images=tmp_path / "images")
    python = workspace.toolchain / f"python-{platform.python_version()}" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.touch()  # there is one already: making it takes seconds
    toolchain.install()
    docker = workspace.toolchain / "bin" / "docker"
    subprocess.run([docker, "nothing"], env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
    assert [*workspace.caches.rglob("docker.*.pyc")], "not beside the sources of this tool"
