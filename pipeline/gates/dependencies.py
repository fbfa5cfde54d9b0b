"""No Python package with a known vulnerability, and none that the advisory service does not know.

`pip-audit` succeeds when its advisory service does not know a single package. This gate then fails, except in a
rehearsal or on a developer's machine, where the service may be out of reach: there it reports that nothing was checked.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.gates.advisories import ACCEPTED, Acceptances, UnreachableError, run_audit, unless_accepted
from pipeline.gates.findings import Finding
from pipeline.gates.requirements import DEVELOPMENT, JOBS, SERVICE, LockedPackage, read_requirements

_TIMEOUT_SECONDS = 600

#: An entry of `pip-audit --format json`.
AuditedPackage = Mapping[str, Any]  # Any: JSON of another program
Audit = Callable[[Sequence[LockedPackage]], list[AuditedPackage]]


def audit(packages: Sequence[LockedPackage]) -> list[AuditedPackage]:
    """Have pip-audit look up packages; return an entry for each.

    Raises:
        UnreachableError: the advisory service did not respond.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.writelines(f"{one.name}=={one.version}\n" for one in packages)
        pins.flush()
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--requirement", pins.name,
                   "--format", "json", "--progress-spinner", "off", "--timeout", "15"]  # fmt: skip
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
    try:
        audited: list[AuditedPackage] = json.loads(finished.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise UnreachableError(f"pip-audit got no response: {finished.stderr.strip()[-300:]}") from None
    return audited


def find_vulnerabilities(
    packages: Sequence[LockedPackage], *, audit: Audit, accepted: Acceptances
) -> Iterator[Finding]:
    """Yield a finding for each vulnerability, and for each package that was not audited.

    Raises:
        UnreachableError: the service does not know the first package, so the others are not looked up.
    """
    first = audit(packages[:1])
    if any("skip_reason" in one for one in first):
        raise UnreachableError(f"the advisory service knows nothing: {first[0]['skip_reason']}")
    missing = {one.name for one in packages}
    for audited in [*first, *(audit(packages[1:]) if packages[1:] else [])]:
        missing.discard(audited["name"])
        where = f"{audited['name']} {audited.get('version', '')}".strip()
        if "skip_reason" in audited:
            yield Finding(where=where, rule="not-audited", message=audited["skip_reason"])
        for one in audited.get("vulns", ()):
            fixed = ", ".join(one.get("fix_versions", ())) or "no release yet"
            yield from unless_accepted(where, [one["id"], *one.get("aliases", ())], f"fixed in {fixed}", accepted)
    for name in sorted(missing):
        yield Finding(where=name, rule="not-audited", message="not in the response of the advisory service")


def check(
    files: Sequence[Path] = (SERVICE, JOBS, DEVELOPMENT),
    *,
    audit: Audit = audit,
    environ: Mapping[str, str] = os.environ,
    accepted: Path = ACCEPTED,
) -> int:
    """Audit every package of `files` once and return the exit status."""

    def audit_all(acceptances: Acceptances) -> tuple[int, list[Finding]]:
        pins = {(one.name, one.version): one for path in files for one in read_requirements(path)}
        packages = [pins[key] for key in sorted(pins)]
        findings = find_vulnerabilities(packages, audit=audit, accepted=acceptances) if packages else ()
        return len(packages), list(findings)

    return run_audit("dependencies", audit_all, environ=environ, accepted=accepted)


if __name__ == "__main__":
    sys.exit(check())
