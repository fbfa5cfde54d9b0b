"""Reads the hashed requirements files that `make lock` writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from pipeline.gates.findings import GateError

#: What is installed into the image.
SERVICE = Path("service/requirements.txt")
#: What the steps after the synth step run with.
JOBS = Path("pipeline/jobs/requirements.txt")
#: What synthesis, gates, tests and the rehearsal install.
DEVELOPMENT = Path("requirements-dev.txt")

_HASH = " --hash=sha256:"


@dataclass(frozen=True, kw_only=True)
class LockedPackage:
    """A package pinned to one version."""

    name: str
    version: str
    #: Whether the package is installed on this interpreter and platform.
    applies: bool
    #: SHA-256 of every file that may be installed, in hexadecimal.
    hashes: tuple[str, ...]


def read_requirements(path: Path) -> list[LockedPackage]:
    """Return every package of a requirements file.

    Raises:
        GateError: the file is missing, or a line is not a pinned and hashed package.
    """
    if not path.is_file():
        raise GateError(f"{path} is missing. `make lock` writes it.")
    return list(_packages(path))


def _packages(path: Path) -> Iterator[LockedPackage]:
    for line in path.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        text, *hashes = (part.strip() for part in line.split(_HASH))
        try:
            requirement = Requirement(text)
            (specifier,) = requirement.specifier
        except ValueError as error:  # InvalidRequirement is one
            raise _not_locked(path, text) from error
        if specifier.operator != "==" or not hashes:
            raise _not_locked(path, text)
        yield LockedPackage(
            name=requirement.name,
            version=specifier.version,
            applies=requirement.marker is None or requirement.marker.evaluate(),
            hashes=tuple(hashes),
        )


def _not_locked(path: Path, text: str) -> GateError:
    return GateError(f"{path}: {text!r} is not pinned with == and hashed. Run `make lock`.")
