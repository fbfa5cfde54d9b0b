"""A real container engine, where there is one: it proves that the Dockerfile builds.

Containers run as processes of the image's files in any case, so that a rehearsal is the same on every machine.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rehearsal.compute.errors import ImageError

ENGINE_VARIABLE = "REHEARSAL_ENGINE"
"""Names the engine's program for the docker command of the builds; empty or unset: none."""

_ENGINES = ("docker", "podman")
_ANSWER_SECONDS = 20.0


def find_engine(path: str) -> str:
    """The first engine on `path` that answers, or an empty string: a client without its daemon is no engine."""
    for name in _ENGINES:
        program = shutil.which(name, path=path)
        if program and _answers(program):
            return program
    return ""


def build_with_engine(context: Path, dockerfile: Path | None, arguments: Mapping[str, str]) -> None:
    """Build the image with the engine that the environment names; does nothing where it names none.

    Raises:
        ImageError: the build failed; the engine's own output tells why.
    """
    engine = os.environ.get(ENGINE_VARIABLE, "")
    if not engine:
        return
    command = [engine, "build", "--tag", f"rehearsal/{context.name.lower()[:60]}"]
    command += ["--file", str(dockerfile)] if dockerfile else []
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    status = subprocess.run([*command, str(context)], check=False).returncode
    if status != 0:
        raise ImageError(f"`{engine} build` of {context} ended with exit status {status}")


def _answers(program: str) -> bool:
    try:
        asked = subprocess.run([program, "info"], capture_output=True, check=False, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
