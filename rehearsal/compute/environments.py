"""The environment of a container: exactly what its task definition declares, in this machine's terms.

Values that only make sense inside AWS are translated, see `Translator`; for a container that is a process also those
that only make sense inside the image, see `ProcessTranslator`.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rehearsal.compute.images import Image
from rehearsal.compute.task_definitions import ContainerDefinition

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104  it is replaced, so that nothing ever listens on it
_ROOT_CERTIFICATES = "PGSSLROOTCERT"


class Database(Protocol):
    """Where a database is reached on this machine."""

    @property
    def host(self) -> str:
        """The host of its TLS gateway."""

    @property
    def port(self) -> int:
        """The port of its TLS gateway."""


@dataclass(frozen=True, kw_only=True)
class Localities:
    """Where things that have a name in AWS are on this machine."""

    certificate_authority: Path
    find_database: Callable[[str], Database | None]
    localize_load_balancers: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one container runs: its task's address, its host name and the folder for each writable path."""

    address: str
    hostname: str
    mounts: Mapping[str, Path]

    @property
    def temporary(self) -> Path:
        """The folder that stands for `/tmp`."""
        return self.mounts["/tmp"]  # noqa: S108  a path inside the container


class Translator:
    """Translates values for one container.

    * `0.0.0.0` becomes the task's own loopback address, so that tasks may use the same port and nothing is reachable
      from elsewhere;
    * a database endpoint becomes its TLS gateway's host, and the variable of the same name with PORT its port;
    * DNS names of load balancers become `localhost:port`.
    """

    def __init__(self, image: Image, place: Place, localities: Localities) -> None:
        self._image = image
        self._place = place
        self._localities = localities

    def environment(self, container: ContainerDefinition, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the declared environment; `secrets` are the resolved values of the container's secrets."""
        return self._translated(container.environment, secrets)

    def root_certificates(self, container: ContainerDefinition) -> str | None:
        """Return the image's file of database roots, for which the authority that signs for our databases stands in."""
        path = {**self._image.config.environment, **container.environment}.get(_ROOT_CERTIFICATES, "")
        return path if path and self._image.path(path).is_file() else None

    def value(self, value: str) -> str:
        """Translate one value or command word."""
        if value == _ANY_ADDRESS or value.startswith(f"{_ANY_ADDRESS}:"):
            return value.replace(_ANY_ADDRESS, self._place.address, 1)
        return self._localities.localize_load_balancers(value)

    def local(self, word: str) -> str:
        """Translate a word of a health check, which runs inside the task: its localhost is the task's address."""
        return re.sub(r"(?<![\w.-])(localhost|127\.0\.0\.1)(?![\w.-])", self._place.address, self.value(word))

    def _translated(self, plain: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
        declared = {**plain, **secrets}
        result = {**{name: self.value(value) for name, value in plain.items()}, **secrets}
        for name, value in declared.items():
            database = self._localities.find_database(value)
            if database is not None:
                result[name] = database.host
                port_name = re.sub("HOST", "PORT", name)
                if port_name != name and port_name in result:
                    result[port_name] = str(database.port)
        return result


class ProcessTranslator(Translator):
    """Translates for a container that is a process of this machine.

    Besides what `Translator` does,

    * what a container engine adds is added: the image's own environment, PATH, HOME and HOSTNAME, and TMPDIR, which
      stands for the container's `/tmp`;
    * absolute paths that exist in the image (or are writable in the container) become where they are on this machine;
    * PGSSLROOTCERT, when the image has the file, becomes the certificate of the authority that signs for the databases.
    """

    def environment(self, container: ContainerDefinition, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the complete environment of the process."""
        plain = {**self._image.config.environment, **container.environment}
        result = self._translated(plain, secrets)
        if self.root_certificates(container):
            result[_ROOT_CERTIFICATES] = str(self._localities.certificate_authority)
        engine = {"HOME": str(self._place.temporary), "HOSTNAME": self._place.hostname}
        search_path = self._search_path({**plain, **secrets}.get("PATH", ""))
        return {**engine, **result, "PATH": search_path, "TMPDIR": str(self._place.temporary)}

    def value(self, value: str) -> str:
        """Translate one value or command word."""
        return self._path(value) if value.startswith("/") else super().value(value)

    def directory(self, container: ContainerDefinition) -> Path:
        """Return the working directory on this machine."""
        return self._image.path(container.working_directory or self._image.config.workdir)

    def _path(self, value: str) -> str:
        for mount, folder in self._place.mounts.items():
            if value == mount or value.startswith(f"{mount}/"):
                return str(folder) + value.removeprefix(mount)
        path = self._image.path(value)
        return str(path) if path != self._image.root and path.exists() else value

    def _search_path(self, declared: str) -> str:
        own = [str(self._image.path(part)) for part in declared.split(os.pathsep) if part.startswith("/")]
        return os.pathsep.join(
            [str(self._image.venv / "bin"), *(path for path in own if Path(path).is_dir()), *_SYSTEM_PATH]
        )
