"""No Node package with a known vulnerability: `npm audit` of `package-lock.json`.

`npm audit` finds nothing, and succeeds, when its advisory service knows nothing. The service is therefore queried first
about a package that every advisory database lists as vulnerable. Dependencies bundled inside a package are not in the
lock file and cannot be audited; the two CDK tools bundle all of theirs.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.gates.advisories import ACCEPTED, Acceptances, UnreachableError, run_audit, unless_accepted
from pipeline.gates.findings import Finding, GateError

#: In every advisory database since 2020.
KNOWN_VULNERABLE = ("minimist", "0.0.8")
_TIMEOUT_SECONDS = 120
_OPTIONS = ("--json", "--package-lock-only", "--fetch-retries", "1", "--fetch-timeout", "15000")

Json = Mapping[str, Any]  # Any: JSON of another program


def audit(folder: Path, accepted: Acceptances, registry: str = "") -> tuple[int, list[Finding]]:
    """Audit the lock file of a folder; return how many packages it holds, and the findings.

    Raises:
        GateError: there is no lock file, or it cannot be read.
        UnreachableError: the advisory service does not respond, or lacks a vulnerability that every database has.
    """
    packages = _locked(folder / "package-lock.json")
    if not packages:
        return 0, []
    _probe(registry)
    return len(packages), list(_findings(_npm_audit(folder, registry), accepted))


def _locked(lock: Path) -> list[str]:
    try:
        content: Json = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GateError(f"{lock} cannot be read: {error}. `npm install --package-lock-only` writes it.") from error
    return [name for name in content.get("packages", {}) if name]


def _probe(registry: str) -> None:
    """Raise UnreachableError unless the advisory service knows the vulnerable package."""
    name, version = KNOWN_VULNERABLE
    root = {"name": "probe", "version": "1.0.0", "dependencies": {name: version}}
    packages = {"": root, f"node_modules/{name}": {"version": version}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "package.json").write_text(json.dumps(root), encoding="utf-8")
        (Path(folder) / "package-lock.json").write_text(
            json.dumps({**root, "lockfileVersion": 3, "packages": packages}), encoding="utf-8"
        )
        if name not in _npm_audit(Path(folder), registry):
            raise UnreachableError(f"the advisory service knows nothing: it lists no vulnerability of {name} {version}")


def _npm_audit(folder: Path, registry: str) -> Json:
    """Return the `vulnerabilities` of `npm audit`, by package name."""
    command = ["npm", "audit", *_OPTIONS, *(["--registry", registry] if registry else [])]
    try:
        finished = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"npm audit got no response within {_TIMEOUT_SECONDS} s") from None
    try:
        vulnerabilities: Json = json.loads(finished.stdout)["vulnerabilities"]
    except (ValueError, KeyError):
        output = (finished.stdout + finished.stderr).strip()
        raise UnreachableError(f"npm audit got no response: {_message(finished.stdout) or output[-300:]}") from None
    return vulnerabilities


def _message(output: str) -> str:
    try:
        return str(json.loads(output).get("message", ""))
    except (ValueError, AttributeError):
        return ""


def _findings(vulnerabilities: Json, accepted: Acceptances) -> Iterator[Finding]:
    for name, one in sorted(vulnerabilities.items()):
        for advisory in one["via"]:
            if isinstance(advisory, str):
                continue  # the name of a vulnerable dependency, which has an entry of its own
            url = str(advisory["url"])
            details = f"{advisory['severity']}: {advisory['title']} ({url})"
            yield from unless_accepted(f"{name} {advisory['range']}", [url.rpartition("/")[2]], details, accepted)


def check(
    folder: Path = Path(), *, registry: str = "", environ: Mapping[str, str] = os.environ, accepted: Path = ACCEPTED
) -> int:
    """Audit the lock file of a folder and return the exit status."""
    return run_audit(
        "node-dependencies",
        lambda acceptances: audit(folder, acceptances, registry),
        environ=environ,
        accepted=accepted,
    )


if __name__ == "__main__":
    sys.exit(check())
