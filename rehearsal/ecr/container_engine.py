"""A container engine, where one is used: it builds images from Dockerfiles and runs containers.

`REHEARSE_ENGINE` selects it: unset, docker if its daemon responds; `none`, no engine (containers are processes);
otherwise the program to use, which has the command line of docker (podman has).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.host.errors import ContainerEngineError, ImageError

ENGINE_VARIABLE = "REHEARSE_ENGINE"
#: Passes the program of the engine to the docker command of the builds; empty or unset without an engine.
PROGRAM_VARIABLE = "REHEARSAL_ENGINE"
NO_ENGINE = "none"

_DEFAULT = "docker"
_INFO_SECONDS = 20.0
_COMMAND_SECONDS = 60.0
# The variables that tell an engine's client where its daemon, its storage and its own files are.
_CLIENT_VARIABLES = ("PATH", "HOME", "XDG_RUNTIME_DIR")
_CLIENT_PREFIXES = ("DOCKER_", "CONTAINER_", "CONTAINERS_")


@dataclass(frozen=True, kw_only=True)
class ContainerEngine:
    """An engine that responds; `program` is the path of its client."""

    program: str

    def build(self, context: Path) -> str:
        """Build the image of a context folder and return its id; the output of the engine is not captured.

        Raises:
            ImageError: The build failed.

        """
        with tempfile.TemporaryDirectory() as scratch:
            image_id = Path(scratch) / "id"
            status = subprocess.run(
                [self.program, "build", "--iidfile", str(image_id), str(context)], check=False
            ).returncode
            if status != 0:
                raise ImageError(
                    f"`{self.program} build` of {context} exited with status {status}; "
                    f"{ENGINE_VARIABLE}={NO_ENGINE} rehearses without a container engine"
                )
            return image_id.read_text().strip()

    def remove(self, names: Iterable[str]) -> None:
        """Kill and remove containers, if they exist.

        Raises:
            ContainerEngineError: The engine does not respond.

        """
        for name in names:
            self._run("rm", "--force", name)

    def find_containers(self, label: str) -> list[str]:
        """Return the ids of all containers with a label, running or not.

        Raises:
            ContainerEngineError: The engine does not respond.

        """
        return self._run("ps", "--all", "--quiet", "--filter", f"label={label}").split()

    def _run(self, *arguments: str) -> str:
        """Run a command of the client and return its output, whatever its exit status."""
        command = [self.program, *arguments]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ContainerEngineError(
                f"`{self.program} {arguments[0]}` did not finish within {_COMMAND_SECONDS:g} seconds; "
                "containers may be left"
            ) from error
        return result.stdout


def find_engine(environment: Mapping[str, str]) -> ContainerEngine | None:
    """Return the engine to use; None for processes. A client whose daemon does not respond is not an engine.

    Raises:
        ContainerEngineError: The requested engine does not respond.

    """
    requested = environment.get(ENGINE_VARIABLE, "")
    if requested == NO_ENGINE:
        return None
    program = shutil.which(requested or _DEFAULT, path=environment.get("PATH"))
    if program and _responds(program):
        return ContainerEngine(program=program)
    if requested:
        raise ContainerEngineError(
            f"{ENGINE_VARIABLE}={requested}: `{requested} info` failed; "
            f"start that engine, or use {ENGINE_VARIABLE}={NO_ENGINE}"
        )
    return None


def client_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the part of an environment that an engine's client needs."""
    return {
        name: value for name, value in base.items() if name in _CLIENT_VARIABLES or name.startswith(_CLIENT_PREFIXES)
    }


def _responds(program: str) -> bool:
    try:
        result = subprocess.run([program, "info"], capture_output=True, check=False, timeout=_INFO_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0
