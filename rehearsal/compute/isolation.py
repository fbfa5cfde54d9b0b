"""How a container is kept apart: as a process of this machine, or by a container engine."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rehearsal.compute.engine import Engine, client_environment
from rehearsal.compute.environments import Localities, Place, ProcessTranslator, Translator
from rehearsal.compute.errors import TaskFailedError
from rehearsal.compute.images import Image
from rehearsal.compute.task_definitions import ContainerDefinition

_TIME_SCALE = "TIME_SCALE"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Everything that one container needs to start."""

    definition: ContainerDefinition
    image: Image
    place: Place
    localities: Localities
    secrets: Mapping[str, str] = field(repr=False)
    time_scale: float = 1.0

    @property
    def told(self) -> Mapping[str, str]:
        """What the container is told besides what is declared: that time runs faster, where it does."""
        return {} if self.time_scale == 1 else {_TIME_SCALE: f"{self.time_scale:g}"}


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A process to start on this machine, with exactly this environment."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path


class Isolation(Protocol):
    """What differs between kinds of containers."""

    def main(self) -> Invocation:
        """Return the container's own process; `TaskFailedError` when it has no command."""

    def check(self, words: Sequence[str]) -> Invocation:
        """Return a process that runs a health check's command inside the container."""

    def clean(self) -> None:
        """Remove what may be left of the container once its process has ended."""


class ProcessIsolation:
    """A process of the image's files, with the interpreter of this machine."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._translator = ProcessTranslator(launch.image, launch.place, launch.localities)
        self._environment = {**self._translator.environment(launch.definition, launch.secrets), **launch.told}
        self._directory = launch.image.path(launch.definition.working_directory or launch.image.config.workdir)

    def main(self) -> Invocation:
        """Return the command, in the image's working directory."""
        definition, config = self._launch.definition, self._launch.image.config
        entrypoint = config.entrypoint if definition.entrypoint is None else definition.entrypoint
        # An entry point of the task definition drops the image's command, as with `docker run --entrypoint`.
        default = config.command if definition.entrypoint is None else ()
        words = [*entrypoint, *(default if definition.command is None else definition.command)]
        if not words:
            raise TaskFailedError(f"CannotStartContainerError: container {definition.name} has no command")
        return self._invocation([self._translator.value(word) for word in words])

    def check(self, words: Sequence[str]) -> Invocation:
        """Return the check, with the container's environment."""
        return self._invocation([self._translator.local(word) for word in words])

    def clean(self) -> None:
        """Nothing is left of a process that has ended."""

    def _invocation(self, words: list[str]) -> Invocation:
        program = words[0]
        if "/" not in program:
            program = shutil.which(program, path=self._environment["PATH"]) or program
        return Invocation(command=[program, *words[1:]], environment=self._environment, directory=self._directory)


class EngineIsolation:
    """A container of a container engine: the image itself, its user, its read-only root, its capabilities.

    It shares this machine's network, since each task has a loopback address of its own.
    """

    def __init__(self, launch: Launch, engine: Engine, *, name: str, directory: Path) -> None:
        self._launch, self._engine, self._name = launch, engine, name
        self._directory = directory
        self._translator = Translator(launch.image, launch.place, launch.localities)
        self._client = client_environment()
        self._declared = {**self._translator.environment(launch.definition, launch.secrets), **launch.told}

    def main(self) -> Invocation:
        """Return the engine's client, which stays attached: its output is the container's, signals are passed on."""
        definition = self._launch.definition
        entrypoint, *words = definition.entrypoint or ("",)
        words += definition.command or ()
        options = [
            # Only what the task definition says is a health check on ECS, not what the image does.
            *(
                "--rm",
                "--no-healthcheck",
                "--name",
                self._name,
                "--label",
                container_label(self._directory),
                "--network",
                "host",
            ),
            *self._confinement(),
            *self._volumes(),
            *self._variables(),
            *(("--workdir", definition.working_directory) if definition.working_directory else ()),
            *(("--entrypoint", entrypoint) if entrypoint else ()),
        ]
        command = [self._engine.program, "run", *options, self._launch.image.engine_id]
        return self._invocation([*command, *(self._translator.value(word) for word in words)])

    def check(self, words: Sequence[str]) -> Invocation:
        """Return the client that runs the check inside the container."""
        inside = [self._translator.local(word) for word in words]
        return self._invocation([self._engine.program, "exec", self._name, *inside])

    def clean(self) -> None:
        """Remove the container, which outlives its client when that was killed."""
        self._engine.remove([self._name])

    def _confinement(self) -> list[str]:
        confinement = self._launch.definition.confinement
        options = ["--user", confinement.user] if confinement.user else []
        options += ["--read-only"] if confinement.read_only_root else []
        options += ["--init"] if confinement.init else []
        for capability in confinement.dropped_capabilities:
            options += ["--cap-drop", capability]
        for path, mount in confinement.tmpfs.items():
            options += ["--tmpfs", f"{path}:{mount}"]
        return options

    def _volumes(self) -> list[str]:
        definition, place = self._launch.definition, self._launch.place
        options = [word for path in definition.mounts for word in ("--volume", f"{place.mounts[path]}:{path}")]
        roots = self._translator.root_certificates(definition)
        if roots:
            options += ["--volume", f"{self._launch.localities.certificate_authority}:{roots}:ro"]
        return options

    def _variables(self) -> list[str]:
        """Name the variables only: their values are in the client's environment, as secrets are in no command line."""
        return [
            word
            for name, value in self._declared.items()
            for word in ("--env", f"{name}={value}" if name in self._client else name)
        ]

    def _invocation(self, command: list[str]) -> Invocation:
        return Invocation(
            command=command, environment={**self._declared, **self._client}, directory=Path(os.curdir).resolve()
        )


def container_label(directory: Path) -> str:
    """Return the label of all containers of the tasks below `directory`, whichever rehearsal started them."""
    return f"payments.rehearsal={directory}"
