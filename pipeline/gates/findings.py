"""Findings of a gate, and how every gate ends: printed findings, a JUnit report and an exit status."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from junitparser import Failure, Skipped, TestCase, TestSuite

#: Folder for reports, relative to the working directory.
REPORTS = Path(".run/reports")
#: Cloud assembly that the `templates` gate synthesizes for the gates after it.
ASSEMBLY = Path(".run/gates/assembly")


class GateError(Exception):
    """A gate could not do its work, which fails it; the message gives the cause and the remedy."""


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A violation that a gate has found."""

    #: File and line, package, or commit.
    where: str
    #: Rule id, as the tool writes it.
    rule: str
    #: What is wrong and how to fix it.
    message: str

    def __str__(self) -> str:
        """The finding on one line."""
        return f"{self.where}: {self.rule}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What a gate has checked and found."""

    gate: str
    #: How many items were checked; a gate that checked nothing has failed.
    checked: int
    #: What was counted, in the plural.
    unit: str
    findings: Sequence[Finding] = ()
    #: Why the gate could not check anything here, where that is acceptable. Printed and reported as skipped.
    not_checked: str = ""

    def report(self, reports: Path = REPORTS) -> int:
        """Print the result, write the JUnit report and return the exit status."""
        findings = sorted(self.findings)
        if not self.checked and not self.not_checked:
            findings.append(Finding(where=self.gate, rule="nothing-checked", message=f"no {self.unit} were found"))
        for finding in findings:
            print(finding, file=sys.stderr)  # noqa: T201 - the gate's output
        if self.not_checked:
            print(f"{self.gate}: NOT CHECKED: {self.not_checked}")  # noqa: T201 - the gate's output
        else:
            print(f"{self.gate}: {self.checked} {self.unit} checked, {len(findings)} findings")  # noqa: T201 - as above
        reports.mkdir(parents=True, exist_ok=True)
        suite = TestSuite(self.gate)
        suite.add_testcases(list(self._cases(findings)))
        suite.write(str(reports / f"{self.gate}.xml"))
        return 1 if findings else 0

    def _cases(self, findings: Sequence[Finding]) -> Iterator[TestCase]:
        classname = f"gates.{self.gate}"
        for finding in findings:
            case = TestCase(f"{finding.where} {finding.rule}", classname)
            case.result = [Failure(finding.message)]
            yield case
        if not findings:
            case = TestCase(f"{self.checked} {self.unit}", classname)
            case.result = [Skipped(self.not_checked)] if self.not_checked else []
            yield case


def fail(gate: str, error: GateError, reports: Path = REPORTS) -> int:
    """Report a gate that could not do its work and return the exit status."""
    broken = Finding(where=gate, rule="gate-broken", message=str(error))
    return GateResult(gate=gate, checked=1, unit="runs", findings=[broken]).report(reports)
