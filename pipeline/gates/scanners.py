"""A second opinion beside cdk-nag: `python -m pipeline.gates.scanners PYTHON` lets checkov look at what is deployed.

It looks at the templates that the gate `templates` has synthesized and at the Dockerfile. PYTHON is the interpreter of
an environment of its own, for checkov pins many packages (docs/decisions/0210-second-opinions.md). What is accepted
stands with its reason on the construct, in the same table as cdk-nag's findings; a reason that nothing needs any longer
is a finding too.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.findings import AcceptedFinding, accepted_bootstrap_findings, accepted_findings, is_scanner_rule
from pipeline.gates.findings import ASSEMBLY, Finding, GateError, Outcome, fail

SERVICE = Path("service")
_GATE = "scanners"
_TYPE = re.compile(r"^AWS::\w+::\w+\.")
"""checkov names a resource by its type and its logical id."""


def scan(python: str, assembly: Path, service: Path) -> Mapping[str, Any]:
    """Ask checkov.

    Raises:
        GateError: it broke, or did not answer in JSON.
    """
    # Isolated: modules of this folder, `secrets` for one, would stand in front of the standard library's.
    command = [python, "-I", str(Path(__file__).with_name("run_checkov.py")), str(assembly), str(service)]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GateError(f"{python} could not be started: {error}. `make scanners` installs it.") from error
    try:
        answer: Mapping[str, Any] = json.loads(finished.stdout)
    except ValueError:
        said = (finished.stdout + finished.stderr).strip()[-1_000:]
        raise GateError(f"checkov broke (exit status {finished.returncode}): {said}") from None
    return answer


def judge(answer: Mapping[str, Any], assembly: Path, dockerfile: Path) -> Iterator[Finding]:
    """Yield what nobody accepted, what nothing needs to be accepted any longer, and what was not looked at."""
    read = {file for part in answer.values() for file in part["read"]}
    for file in [*assembly.rglob("*.template.json"), dockerfile]:
        if str(file.resolve()) not in read:
            yield Finding(where=str(file), rule="not-scanned", message="checkov has not looked at it")
    for file in (file for part in answer.values() for file in part["broken"]):
        yield Finding(where=file, rule="not-read", message="checkov cannot read it")
    accepted = (*accepted_findings(assembly), *accepted_bootstrap_findings())
    reasons = [one for one in accepted if is_scanner_rule(one.rule)]
    used: set[AcceptedFinding] = set()
    for one in (one for part in answer.values() for one in part["failed"]):
        where = construct_path(one)
        covering = {reason for reason in reasons if reason.covers(where, one["rule"])}
        used |= covering
        if not covering:
            yield Finding(where=where, rule=one["rule"], message=one["name"])
    for reason in sorted(set(reasons) - used):
        yield Finding(where=reason.path, rule=reason.rule, message="accepted, but not found: take the reason away")


def construct_path(failed: Mapping[str, Any]) -> str:
    """Return the construct path of a resource with a finding; file and line where there is no resource."""
    file = Path(failed["file"])
    if file.suffix == ".json":
        logical_id = _TYPE.sub("", failed["resource"])
        resource = json.loads(file.read_text(encoding="utf-8"))["Resources"].get(logical_id, {})
        path = resource.get("Metadata", {}).get("aws:cdk:path")
        if path:
            return str(path)
    return f"{file.name}:{failed['line']} {failed['resource']}"


def check(python: str, assembly: Path = ASSEMBLY, service: Path = SERVICE) -> int:
    """Scan, and answer the exit status."""
    try:
        answer = scan(python, assembly, service)
    except GateError as error:
        return fail(_GATE, error)
    findings = list(judge(answer, assembly, service / "Dockerfile"))
    checked = sum(len(part["read"]) for part in answer.values())
    return Outcome(gate=_GATE, checked=checked, unit="files", findings=findings).conclude()


def main(arguments: Sequence[str]) -> int:
    """Run the gate with the interpreter that the first argument names."""
    if not arguments:
        sys.stderr.write("Usage: python -m pipeline.gates.scanners PYTHON\n")
        return 2
    return check(arguments[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
