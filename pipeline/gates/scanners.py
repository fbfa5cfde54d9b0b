"""A second opinion on the templates, besides cdk-nag: `python -m pipeline.gates.scanners PYTHON` runs checkov.

Checks the templates that the `templates` gate has synthesized, and the Dockerfile. PYTHON is the interpreter of
checkov's own environment, because checkov pins many packages (docs/decisions/0210-second-opinions.md). Findings are
acknowledged on the construct, with a reason, in the same table as those of cdk-nag; an acknowledgement without a
finding is a finding too.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.findings import AcceptedFinding, accepted_bootstrap_findings, accepted_findings, is_scanner_rule
from pipeline.gates.findings import ASSEMBLY, Finding, GateError, GateResult, fail

SERVICE = Path("service")
_GATE = "scanners"
#: checkov names a resource by its type and logical id.
_TYPE = re.compile(r"^AWS::\w+::\w+\.")

#: What `run_checkov.py` prints: the scan of each framework, by its name.
Scans = Mapping[str, Mapping[str, Any]]  # Any: JSON


def scan(python: str, assembly: Path, service: Path) -> Scans:
    """Run checkov.

    Raises:
        GateError: it failed, or did not print JSON.
    """
    # Isolated: this folder must not be on the path, or its `secrets` would hide the standard library's.
    command = [python, "-I", str(Path(__file__).with_name("run_checkov.py")), str(assembly), str(service)]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GateError(f"{python} could not be started: {error}. `make scanners` installs it.") from error
    try:
        scans: Scans = json.loads(finished.stdout)
    except ValueError:
        output = (finished.stdout + finished.stderr).strip()[-1_000:]
        raise GateError(f"checkov broke (exit status {finished.returncode}): {output}") from None
    return scans


def find_violations(scans: Scans, assembly: Path, dockerfile: Path) -> Iterator[Finding]:
    """Yield unacknowledged findings, acknowledgements without a finding, and files that were not scanned."""
    read = {file for one in scans.values() for file in one["read"]}
    for file in [*assembly.rglob("*.template.json"), dockerfile]:
        if str(file.resolve()) not in read:
            yield Finding(where=str(file), rule="not-scanned", message="checkov has not scanned it")
    for file in (file for one in scans.values() for file in one["broken"]):
        yield Finding(where=file, rule="not-read", message="checkov cannot read it")
    accepted = (*accepted_findings(assembly), *accepted_bootstrap_findings())
    acknowledged = [one for one in accepted if is_scanner_rule(one.rule)]
    used: set[AcceptedFinding] = set()
    for failed in (failed for one in scans.values() for failed in one["failed"]):
        where = construct_path(failed)
        covering = {one for one in acknowledged if one.covers(where, failed["rule"])}
        used |= covering
        if not covering:
            yield Finding(where=where, rule=failed["rule"], message=failed["name"])
    for unused in sorted(set(acknowledged) - used):
        yield Finding(where=unused.path, rule=unused.rule, message="acknowledged but not found; remove it")


def construct_path(failed: Mapping[str, Any]) -> str:  # Any: JSON
    """Return the construct path of the resource with a finding, or file and line if there is no resource."""
    file = Path(failed["file"])
    if file.suffix == ".json":
        logical_id = _TYPE.sub("", failed["resource"])
        resource = json.loads(file.read_text(encoding="utf-8"))["Resources"].get(logical_id, {})
        path = resource.get("Metadata", {}).get("aws:cdk:path")
        if path:
            return str(path)
    return f"{file.name}:{failed['line']} {failed['resource']}"


def check(python: str, assembly: Path = ASSEMBLY, service: Path = SERVICE) -> int:
    """Scan and return the exit status."""
    try:
        scans = scan(python, assembly, service)
    except GateError as error:
        return fail(_GATE, error)
    findings = list(find_violations(scans, assembly, service / "Dockerfile"))
    checked = sum(len(one["read"]) for one in scans.values())
    return GateResult(gate=_GATE, checked=checked, unit="files", findings=findings).report()


def main(arguments: Sequence[str]) -> int:
    """Run the gate with the interpreter given as the first argument."""
    if not arguments:
        sys.stderr.write("Usage: python -m pipeline.gates.scanners PYTHON\n")
        return 2
    return check(arguments[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
