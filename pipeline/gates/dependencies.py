"""No dependency with a known vulnerability, and none that nobody could ask about.

`pip-audit` ends successfully when its advisory service does not know a single package. Here that is a failure, except
in a rehearsal or at a desk, where the service may be out of reach: then the gate says that it has not checked.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.gates.advisories import ACCEPTED, Acceptances, UnreachableError, conclude, judge
from pipeline.gates.findings import Finding
from pipeline.gates.requirements import DEVELOPMENT, JOBS, SERVICE, Requirement, read_requirements

_TIMEOUT_SECONDS = 600


Audit = Callable[[Sequence[Requirement]], list[Mapping[str, Any]]]


def audit(requirements: Sequence[Requirement]) -> list[Mapping[str, Any]]:
    """Ask the advisory service about pinned packages; one answer for each, in the form of `pip-audit --format json`.

    Raises:
        UnreachableError: there was no answer.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.writelines(f"{one.name}=={one.version}\n" for one in requirements)
        pins.flush()
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--requirement", pins.name,
                   "--format", "json", "--progress-spinner", "off", "--timeout", "15"]  # fmt: skip
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
    try:
        answers: list[Mapping[str, Any]] = json.loads(finished.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise UnreachableError(f"pip-audit got no answer: {finished.stderr.strip()[-300:]}") from None
    return answers


def examine(requirements: Sequence[Requirement], *, ask: Audit, accepted: Acceptances) -> Iterator[Finding]:
    """What the advisory service has against `requirements`.

    Raises:
        UnreachableError: it does not even know the first of them, so that asking for the others would be in vain.
    """
    first = ask(requirements[:1])
    if any("skip_reason" in one for one in first):
        raise UnreachableError(f"the advisory service knows nothing: {first[0]['skip_reason']}")
    asked = {one.name for one in requirements}
    for answer in [*first, *(ask(requirements[1:]) if requirements[1:] else [])]:
        asked.discard(answer["name"])
        where = f"{answer['name']} {answer.get('version', '')}".strip()
        if "skip_reason" in answer:
            yield Finding(where=where, rule="not-audited", message=answer["skip_reason"])
        for one in answer.get("vulns", ()):
            fixed = ", ".join(one.get("fix_versions", ())) or "no release yet"
            yield from judge(where, [one["id"], *one.get("aliases", ())], f"fixed in {fixed}", accepted)
    for name in sorted(asked):
        yield Finding(where=name, rule="not-audited", message="the advisory service left it out of its answer")


def check(
    files: Sequence[Path] = (SERVICE, JOBS, DEVELOPMENT),
    *,
    ask: Audit = audit,
    environ: Mapping[str, str] = os.environ,
    accepted: Path = ACCEPTED,
) -> int:
    """Audit every package of `files` once and answer the exit status."""

    def audit_all(exceptions: Acceptances) -> tuple[list[Requirement], list[Finding]]:
        pins = {(one.name, one.version): one for path in files for one in read_requirements(path)}
        requirements = [pins[key] for key in sorted(pins)]
        return requirements, list(examine(requirements, ask=ask, accepted=exceptions)) if requirements else []

    return conclude("dependencies", audit_all, environ=environ, accepted=accepted)


if __name__ == "__main__":
    sys.exit(check())
