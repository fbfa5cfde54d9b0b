"""The environment of a container: exactly what its task definition declares, in this machine's terms.

Nothing is added but what a container engine adds itself: PATH, HOME and HOSTNAME, and TMPDIR, which stands for the
container's `/tmp`. Values that only make sense inside AWS or inside the image are translated, see `Translator`.
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
    * DNS names of load balancers become `localhost:port`;
    * absolute paths that exist in the image (or are writable in the container) become where they are on this machine;
    * PGSSLROOTCERT, when the image has the file, becomes the certificate of the authority that signs for the databases.
    """

    def __init__(self, image: Image, place: Place, localities: Localities) -> None:
        self._image = image
        self._place = place
        self._localities = localities

    def environment(self, container: ContainerDefinition, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the complete environment; `secrets` are the resolved values of the container's secrets."""
        plain = {**self._image.config.environment, **container.environment}
        declared = {**plain, **secrets}
        result = {**{name: self.value(value) for name, value in plain.items()}, **secrets}
        for name, value in declared.items():
            database = self._localities.find_database(value)
            if database is not None:
                result[name] = database.host
                port_name = re.sub("HOST", "PORT", name)
                if port_name != name and port_name in result:
                    result[port_name] = str(database.port)
        if _ROOT_CERTIFICATES in declared and self._image.path(declared[_ROOT_CERTIFICATES]).is_file():
            result[_ROOT_CERTIFICATES] = str(self._localities.certificate_authority)
        engine = {"HOME": str(self._place.temporary), "HOSTNAME": self._place.hostname}
        always = {"PATH": self._search_path(declared.get("PATH", "")), "TMPDIR": str(self._place.temporary)}
        return {**engine, **result, **always}

    def value(self, value: str) -> str:
        """Translate one value or command word."""
        if value == _ANY_ADDRESS or value.startswith(f"{_ANY_ADDRESS}:"):
            return value.replace(_ANY_ADDRESS, self._place.address, 1)
        if value.startswith("/"):
            return self._path(value)
        return self._localities.localize_load_balancers(value)

    def local(self, word: str) -> str:
        """Translate a word of a health check, which runs inside the task: its localhost is the task's address."""
        return re.sub(r"(?<![\w.-])(localhost|127\.0\.0\.1)(?![\w.-])", self._place.address, self.value(word))

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
