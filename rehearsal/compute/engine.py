"""A container engine, where one is used: it builds Dockerfiles, and containers run as it runs them.

`REHEARSE_ENGINE` chooses: unset, docker if its daemon answers; `none`, processes; else the program to use, which
understands docker's command line (podman does).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.compute.errors import EngineError, ImageError

ENGINE_VARIABLE = "REHEARSE_ENGINE"
PROGRAM_VARIABLE = "REHEARSAL_ENGINE"
"""Hands the engine that was found to the docker command of the builds; empty or unset: none."""

NO_ENGINE = "none"

_DEFAULT = "docker"
_ANSWER_SECONDS = 20.0
_REQUEST_SECONDS = 60.0
# What an engine's client needs of this machine: where its daemon, its storage and its own files are.
_CLIENT_VARIABLES = ("PATH", "HOME", "XDG_RUNTIME_DIR")
_CLIENT_PREFIXES = ("DOCKER_", "CONTAINER_", "CONTAINERS_")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that answered; `program` is its client's path."""

    program: str

    def build(self, context: Path, *, dockerfile: Path | None, target: str | None, arguments: Mapping[str, str]) -> str:
        """Build an image and return its id; what the engine says goes to this process's output.

        Raises:
            ImageError: it does not build; the engine's own output tells why.
        """
        with tempfile.TemporaryDirectory() as scratch:
            identifier = Path(scratch) / "id"
            command = [self.program, "build", "--iidfile", str(identifier)]
            command += ["--file", str(dockerfile)] if dockerfile else []
            command += ["--target", target] if target else []
            command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
            status = subprocess.run([*command, str(context)], check=False).returncode
            if status != 0:
                raise ImageError(
                    f"`{self.program} build` of {context} ended with exit status {status}; "
                    f"{ENGINE_VARIABLE}={NO_ENGINE} rehearses without a container engine"
                )
            return identifier.read_text().strip()

    def remove(self, names: Iterable[str]) -> None:
        """Kill and remove containers; one that is gone already is as it should be.

        Raises:
            EngineError: the engine does not answer.
        """
        for name in names:
            self._ask("rm", "--force", name)

    def labelled(self, label: str) -> list[str]:
        """The ids of all containers with a label, running or not.

        Raises:
            EngineError: the engine does not answer.
        """
        return self._ask("ps", "--all", "--quiet", "--filter", f"label={label}").split()

    def _ask(self, *words: str) -> str:
        """Run a command of the client and return its output, whatever its exit status."""
        command = [self.program, *words]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_REQUEST_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"`{self.program} {words[0]}` has not answered for {_REQUEST_SECONDS:g} seconds; containers may be left"
            ) from error
        return asked.stdout


def find_engine(environment: Mapping[str, str]) -> Engine | None:
    """The engine to use, or None for processes: a client without its daemon is no engine.

    Raises:
        EngineError: the one that was asked for does not answer.
    """
    wanted = environment.get(ENGINE_VARIABLE, "")
    if wanted == NO_ENGINE:
        return None
    program = shutil.which(wanted or _DEFAULT, path=environment.get("PATH"))
    if program and _answers(program):
        return Engine(program=program)
    if wanted:
        raise EngineError(
            f"{ENGINE_VARIABLE}={wanted}: `{wanted} info` does not answer; "
            f"start that engine, or use {ENGINE_VARIABLE}={NO_ENGINE}"
        )
    return None


def client_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What an engine's client is given of this process's environment."""
    return {
        name: value for name, value in base.items() if name in _CLIENT_VARIABLES or name.startswith(_CLIENT_PREFIXES)
    }


def _answers(program: str) -> bool:
    try:
        asked = subprocess.run([program, "info"], capture_output=True, check=False, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
