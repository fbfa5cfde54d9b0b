"""No Node package with a known vulnerability: `npm audit` over what `package-lock.json` locks.

`npm audit` finds nothing, and ends successfully, when its advisory service knows nothing. It is therefore asked first
about a package of which every service knows that it is vulnerable. What a package has bundled is not in the lock file
and cannot be asked about; the CDK's two tools bundle all that they use.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.gates.advisories import ACCEPTED, Acceptances, UnreachableError, conclude, judge
from pipeline.gates.findings import Finding, GateError

#: Vulnerable in every advisory database since 2020.
KNOWN_VULNERABLE = ("minimist", "0.0.8")
_TIMEOUT_SECONDS = 120
_SETTINGS = ("--json", "--package-lock-only", "--fetch-retries", "1", "--fetch-timeout", "15000")

Json = Mapping[str, Any]


def examine(folder: Path, accepted: Acceptances, registry: str = "") -> tuple[list[str], list[Finding]]:
    """The packages that the lock file of `folder` holds, and what is known against them.

    Raises:
        GateError: there is no lock file, or it is not readable.
        UnreachableError: the advisory service does not answer, or does not know what everybody knows.
    """
    packages = _locked(folder / "package-lock.json")
    if not packages:
        return [], []
    _prove_knowledge(registry)
    return packages, list(_findings(_audit(folder, registry), accepted))


def _locked(lock: Path) -> list[str]:
    try:
        content: Json = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GateError(f"{lock} cannot be read: {error}. `npm install --package-lock-only` writes it.") from error
    return sorted(name for name in content.get("packages", {}) if name)


def _prove_knowledge(registry: str) -> None:
    name, version = KNOWN_VULNERABLE
    root = {"name": "probe", "version": "1.0.0", "dependencies": {name: version}}
    packages = {"": root, f"node_modules/{name}": {"version": version}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "package.json").write_text(json.dumps(root), encoding="utf-8")
        (Path(folder) / "package-lock.json").write_text(
            json.dumps({**root, "lockfileVersion": 3, "packages": packages}), encoding="utf-8"
        )
        if name not in _audit(Path(folder), registry):
            raise UnreachableError(f"the advisory service knows nothing: it has no word against {name} {version}")


def _audit(folder: Path, registry: str) -> Json:
    """What `npm audit` has against the packages of a folder, by name."""
    command = ["npm", "audit", *_SETTINGS, *(["--registry", registry] if registry else [])]
    try:
        finished = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"npm audit had no answer after {_TIMEOUT_SECONDS} s") from None
    try:
        vulnerabilities: Json = json.loads(finished.stdout)["vulnerabilities"]
    except (ValueError, KeyError):
        told = (finished.stdout + finished.stderr).strip()
        raise UnreachableError(f"npm audit got no answer: {_message(finished.stdout) or told[-300:]}") from None
    return vulnerabilities


def _message(answer: str) -> str:
    try:
        return str(json.loads(answer).get("message", ""))
    except (ValueError, AttributeError):
        return ""


def _findings(vulnerabilities: Json, accepted: Acceptances) -> Iterator[Finding]:
    for name, one in sorted(vulnerabilities.items()):
        for advisory in one["via"]:
            if isinstance(advisory, str):
                continue  # only depends on a package that has an entry of its own
            where = f"{name} {advisory['range']}"
            remedy = f"{advisory['severity']}: {advisory['title']} ({advisory['url']})"
            yield from judge(where, [str(advisory["url"]).rpartition("/")[2]], remedy, accepted)


def check(
    folder: Path = Path(), *, registry: str = "", environ: Mapping[str, str] = os.environ, accepted: Path = ACCEPTED
) -> int:
    """Audit the lock file of `folder` and answer the exit status."""
    return conclude(
        "node-dependencies", lambda known: examine(folder, known, registry), environ=environ, accepted=accepted
    )


if __name__ == "__main__":
    sys.exit(check())
