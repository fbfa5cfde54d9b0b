"""What every gate ends with: its findings for a reader, a JUnit report, and an exit status."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPORTS = Path(".run/reports")
"""Where reports go, below the folder that the gate runs in."""
ASSEMBLY = Path(".run/gates/assembly")
"""What the gate `templates` synthesizes, for other gates to look at."""


class GateError(Exception):
    """A gate could not do its work, which is a failure too; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One violation."""

    where: str
    """File and line, package, or commit."""
    rule: str
    """Name of the rule, as its tool writes it."""
    message: str
    """What is wrong and what to do about it."""

    def __str__(self) -> str:
        """The finding on one line."""
        return f"{self.where}: {self.rule}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a gate has seen."""

    gate: str
    checked: int
    """How many things were looked at; a gate that looked at nothing has failed."""
    unit: str
    """What was counted, in the plural."""
    findings: Sequence[Finding] = ()
    not_checked: str = ""
    """Why the gate could not do its work here, where that is admissible. Shown and reported, never silent."""

    def conclude(self, reports: Path = REPORTS) -> int:
        """Print the outcome, write the report, and answer the exit status."""
        findings = sorted(self.findings)
        if not self.checked and not self.not_checked:
            findings.append(Finding(where=self.gate, rule="nothing-checked", message=f"no {self.unit} were found"))
        for finding in findings:
            print(finding, file=sys.stderr)  # noqa: T201 - the gate's output
        if self.not_checked:
            print(f"{self.gate}: NOT CHECKED: {self.not_checked}")  # noqa: T201
        else:
            print(f"{self.gate}: {self.checked} {self.unit} checked, {len(findings)} findings")  # noqa: T201
        self._write(reports / f"{self.gate}.xml", findings)
        return 1 if findings else 0

    def _write(self, path: Path, findings: Sequence[Finding]) -> None:
        cases = max(len(findings), 1)
        suite = ET.Element(
            "testsuite", name=self.gate, tests=str(cases), failures=str(len(findings)), errors="0",
            skipped=str(int(bool(self.not_checked and not findings))),
        )  # fmt: skip
        for finding in findings:
            case = ET.SubElement(
                suite, "testcase", classname=f"gates.{self.gate}", name=f"{finding.where} {finding.rule}"
            )
            ET.SubElement(case, "failure", message=finding.message)
        if not findings:
            case = ET.SubElement(suite, "testcase", classname=f"gates.{self.gate}", name=f"{self.checked} {self.unit}")
            if self.not_checked:
                ET.SubElement(case, "skipped", message=self.not_checked)
        path.parent.mkdir(parents=True, exist_ok=True)
        ET.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)


def fail(gate: str, error: GateError, reports: Path = REPORTS) -> int:
    """Conclude a gate that could not do its work."""
    broken = Finding(where=gate, rule="gate-broken", message=str(error))
    return Outcome(gate=gate, checked=1, unit="runs", findings=[broken]).conclude(reports)
