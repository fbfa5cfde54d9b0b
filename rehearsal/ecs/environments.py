"""The environment of a container: what its task definition declares, translated for this machine."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rehearsal.ecr.images import Image
from rehearsal.ecs.task_definitions import ContainerDefinition

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - it is replaced, nothing ever listens on it
_TMP = "/tmp"  # noqa: S108 - a path inside containers
_ROOT_CERTIFICATES = "PGSSLROOTCERT"


class DatabaseAddress(Protocol):
    """The local address of a database."""

    @property
    def host(self) -> str:
        """The host of its TLS gateway."""

    @property
    def port(self) -> int:
        """The port of its TLS gateway."""


@dataclass(frozen=True, kw_only=True)
class ServiceDiscovery:
    """Finds the local addresses of what has an endpoint on AWS."""

    #: The root certificate of the databases.
    ca_file: Path
    #: Returns the database with an endpoint.
    find_database: Callable[[str], DatabaseAddress | None]
    #: Replaces the DNS names of load balancers in a text.
    localize_load_balancers: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class ContainerLaunch:
    """Everything that a container needs to start."""

    definition: ContainerDefinition
    image: Image
    #: The loopback address of its task.
    address: str
    hostname: str
    #: The folder that stands in for its `/tmp`.
    tmp: Path
    discovery: ServiceDiscovery
    #: The resolved values of its secrets.
    secrets: Mapping[str, str] = field(repr=False)
    #: Variables that no task definition declares.
    extra_environment: Mapping[str, str] = field(default_factory=dict)


class Translator:
    """Translates the declared values of a container for this machine.

    * `0.0.0.0` becomes the loopback address of the task, so that tasks may use the same port and nothing is reachable
      from other machines;
    * a database endpoint becomes the host of its TLS gateway, and the variable with PORT for HOST in its name the port;
    * DNS names of load balancers become `localhost:port`.
    """

    def __init__(self, launch: ContainerLaunch) -> None:
        self._launch = launch

    def environment(self) -> dict[str, str]:
        """Return the declared environment with the secrets."""
        return {**self._translate(self._launch.definition.environment), **self._launch.extra_environment}

    def root_certificates(self) -> str | None:
        """Return the path of the image's root certificates of RDS, which the local authority's replaces."""
        image = self._launch.image
        path = {**image.config.environment, **self._launch.definition.environment}.get(_ROOT_CERTIFICATES, "")
        return path if path and image.path(path).is_file() else None

    def value(self, value: str) -> str:
        """Translate a value or a word of a command."""
        if value == _ANY_ADDRESS or value.startswith(f"{_ANY_ADDRESS}:"):
            return value.replace(_ANY_ADDRESS, self._launch.address, 1)
        return self._launch.discovery.localize_load_balancers(value)

    def health_check_word(self, word: str) -> str:
        """Translate a word of a health check command, for which localhost is the task."""
        return re.sub(r"(?<![\w.-])(localhost|127\.0\.0\.1)(?![\w.-])", self._launch.address, self.value(word))

    def _translate(self, plain: Mapping[str, str]) -> dict[str, str]:
        secrets = self._launch.secrets
        result = {**{name: self.value(value) for name, value in plain.items()}, **secrets}
        for name, value in {**plain, **secrets}.items():
            database = self._launch.discovery.find_database(value)
            if database is not None:
                result[name] = database.host
                port_name = name.replace("HOST", "PORT")
                if port_name != name and port_name in result:
                    result[port_name] = str(database.port)
        return result


class ProcessTranslator(Translator):
    """Translates for a container that is a process of this machine.

    In addition,

    * what a container engine provides is added: the environment of the image, PATH, HOME, HOSTNAME, and TMPDIR for
      `/tmp`;
    * absolute paths that exist in the image, and those in `/tmp`, become paths of this machine;
    * PGSSLROOTCERT becomes the root certificate of the local databases, if the image has the file that it names.
    """

    def environment(self) -> dict[str, str]:
        """Return the complete environment of the process."""
        launch = self._launch
        plain = {**launch.image.config.environment, **launch.definition.environment}
        result = self._translate(plain)
        if self.root_certificates():
            result[_ROOT_CERTIFICATES] = str(launch.discovery.ca_file)
        tmp = str(launch.tmp)
        path = {"PATH": self._search_path({**plain, **launch.secrets}.get("PATH", "")), "TMPDIR": tmp}
        return {"HOME": tmp, "HOSTNAME": launch.hostname, **result, **path, **launch.extra_environment}

    def value(self, value: str) -> str:
        """Translate a value or a word of a command."""
        if not value.startswith("/"):
            return super().value(value)
        if value == _TMP or value.startswith(f"{_TMP}/"):
            return str(self._launch.tmp) + value.removeprefix(_TMP)
        path = self._launch.image.path(value)
        return str(path) if path != self._launch.image.root and path.exists() else value

    def _search_path(self, declared: str) -> str:
        image = self._launch.image
        folders = [str(image.path(part)) for part in declared.split(os.pathsep) if part.startswith("/")]
        existing = (folder for folder in folders if Path(folder).is_dir())
        return os.pathsep.join([str(image.venv / "bin"), *existing, *_SYSTEM_PATH])
