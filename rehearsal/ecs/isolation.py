"""How containers are isolated: as processes of this machine, or by a container engine."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rehearsal.ecr.container_engine import ContainerEngine, client_environment
from rehearsal.ecs.environments import ContainerLaunch, ProcessTranslator, Translator
from rehearsal.host.errors import TaskFailedError


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A process to start on this machine, with exactly this environment."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path


class Isolation(Protocol):
    """What differs between the kinds of containers."""

    def main(self) -> Invocation:
        """Return the main process of the container; raise `TaskFailedError` when it has no command."""

    def health_check(self, command: Sequence[str]) -> Invocation:
        """Return a process that runs a health check command in the container."""

    def clean_up(self) -> None:
        """Remove what is left of the container after its main process has exited."""


class ProcessIsolation:
    """A process with the files of the image and the interpreter of this machine."""

    def __init__(self, launch: ContainerLaunch) -> None:
        self._launch = launch
        self._translator = ProcessTranslator(launch)
        self._environment = self._translator.environment()
        self._directory = launch.image.path(launch.image.config.workdir)

    def main(self) -> Invocation:
        """Return the command, in the working directory of the image."""
        definition, image = self._launch.definition, self._launch.image
        words = image.config.command if definition.command is None else definition.command
        if not words:
            raise TaskFailedError(f"CannotStartContainerError: container {definition.name} has no command")
        return self._invocation([self._translator.value(word) for word in words])

    def health_check(self, command: Sequence[str]) -> Invocation:
        """Return the command, with the environment of the container."""
        return self._invocation([self._translator.health_check_word(word) for word in command])

    def clean_up(self) -> None:
        """Do nothing: an exited process leaves nothing."""

    def _invocation(self, words: list[str]) -> Invocation:
        program = words[0]
        if "/" not in program:
            program = shutil.which(program, path=self._environment["PATH"]) or program
        return Invocation(command=[program, *words[1:]], environment=self._environment, directory=self._directory)


class EngineIsolation:
    """A container of a container engine: the image itself, its user, its read-only root, its capabilities.

    It uses the network of this machine, since each task has its own loopback address.
    """

    def __init__(self, launch: ContainerLaunch, engine: ContainerEngine, *, name: str, label: str) -> None:
        self._launch, self._engine, self._name, self._label = launch, engine, name, label
        self._translator = Translator(launch)
        self._client = client_environment()
        self._declared = self._translator.environment()

    def main(self) -> Invocation:
        """Return the engine's client, which stays attached: it relays output and signals."""
        # On ECS only the health check of the task definition counts, not that of the image.
        options = ["--rm", "--no-healthcheck", "--name", self._name, "--label", self._label, "--network", "host"]
        options += [*self._security_options(), *self._volume_options(), *self._environment_options()]
        words = [self._translator.value(word) for word in self._launch.definition.command or ()]
        return self._invocation([self._engine.program, "run", *options, self._launch.image.engine_id, *words])

    def health_check(self, command: Sequence[str]) -> Invocation:
        """Return the client that runs the command in the container."""
        words = [self._translator.health_check_word(word) for word in command]
        return self._invocation([self._engine.program, "exec", self._name, *words])

    def clean_up(self) -> None:
        """Remove the container, which outlives a client that was killed."""
        self._engine.remove([self._name])

    def _security_options(self) -> list[str]:
        security = self._launch.definition.security
        options = ["--user", security.user] if security.user else []
        options += ["--read-only"] if security.read_only_root else []
        options += ["--init"] if security.init else []
        for capability in security.dropped_capabilities:
            options += ["--cap-drop", capability]
        for path, mount in security.tmpfs.items():
            options += ["--tmpfs", f"{path}:{mount}"]
        return options

    def _volume_options(self) -> list[str]:
        roots = self._translator.root_certificates()
        return ["--volume", f"{self._launch.discovery.ca_file}:{roots}:ro"] if roots else []

    def _environment_options(self) -> list[str]:
        """Pass variables by name; their values are in the client's environment, so that no command line has secrets."""
        return [
            word
            for name, value in self._declared.items()
            for word in ("--env", f"{name}={value}" if name in self._client else name)
        ]

    def _invocation(self, command: list[str]) -> Invocation:
        environment = {**self._declared, **self._client}
        return Invocation(command=command, environment=environment, directory=Path(os.curdir).resolve())


def container_label(directory: Path) -> str:
    """Return the label of all containers of tasks below `directory`, whichever rehearsal started them."""
    return f"rehearsal={directory}"
