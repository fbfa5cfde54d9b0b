"""Reads the hashed requirement files that `make lock` writes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker

from pipeline.gates.findings import GateError

SERVICE = Path("service/requirements.txt")
"""What the image is built from."""
JOBS = Path("pipeline/jobs/requirements.txt")
"""What steps after the synth step run with."""
DEVELOPMENT = Path("requirements-dev.txt")
"""All that synthesis, checks, tests and the rehearsal install."""

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(\[[\w,. -]+\])?==(?P<version>[^\s;\\]+)\s*(;\s*(?P<marker>[^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One pinned package."""

    name: str
    version: str
    marker: str
    """Where it applies, as the file says; empty means everywhere."""
    hashes: tuple[str, ...]
    """SHA-256 of every file that may be installed."""

    @property
    def applies(self) -> bool:
        """Whether the package is installed on this interpreter and platform."""
        return not self.marker or Marker(self.marker).evaluate()


def read_requirements(path: Path) -> list[Requirement]:
    """Every package of a requirement file.

    Raises:
        GateError: the file is missing, or a line is not a pinned and hashed package.
    """
    if not path.is_file():
        raise GateError(f"{path} is missing. `make lock` writes it.")
    return list(_read(path))


def _read(path: Path) -> Iterator[Requirement]:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match, hashes = _PIN.match(line), tuple(_HASH.findall(line))
        if match is None or not hashes:
            raise GateError(f"{path}: {line[:80].strip()!r} is not pinned with == and hashed. Run `make lock`.")
        marker = (match["marker"] or "").partition("--hash")[0].strip()
        yield Requirement(name=match["name"], version=match["version"], marker=marker, hashes=hashes)
