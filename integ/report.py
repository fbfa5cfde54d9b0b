"""Results of the checks, as text and as a JUnit report."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CheckStatus = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The result of a check."""

    name: str
    promise: str
    status: CheckStatus
    seconds: float
    reason: str = ""
    exchanges: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the result as text; a failed one with its exchanges."""
        head = f"{self.status:8}{self.promise} ({self.seconds:.2f} s)"
        if self.status == "passed":
            return [head]
        return [head, f"        {self.reason}", *(f"          {line}" for line in self.exchanges)]


def write_junit(path: Path, results: Sequence[CheckResult], *, base_url: str) -> None:
    """Write `results` as JUnit XML; the folder is created if necessary."""
    suite = ET.Element(
        "testsuite",
        name="smoke",
        hostname=base_url,
        tests=str(len(results)),
        failures=str(sum(result.status == "failed" for result in results)),
        skipped=str(sum(result.status == "skipped" for result in results)),
        errors="0",
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="integ", name=result.name, time=f"{result.seconds:.3f}")
        if result.status == "failed":
            ET.SubElement(case, "failure", message=result.reason).text = "\n".join(result.exchanges)
        elif result.status == "skipped":
            ET.SubElement(case, "skipped", message=result.reason)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
