"""What the checks found, for a reader and as a JUnit report."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one check."""

    name: str
    promise: str
    outcome: Outcome
    seconds: float
    reason: str = ""
    exchanges: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The result for a reader; a failed one tells what was said and heard."""
        head = f"{self.outcome:8}{self.promise} ({self.seconds:.2f} s)"
        if self.outcome == "passed":
            return [head]
        return [head, f"        {self.reason}", *(f"          {line}" for line in self.exchanges)]


def write_junit(path: Path, results: Sequence[Result], *, base_url: str) -> None:
    """Write `results` as JUnit XML, making the folder."""
    suite = ET.Element(
        "testsuite",
        name="smoke",
        hostname=base_url,
        tests=str(len(results)),
        failures=str(sum(result.outcome == "failed" for result in results)),
        skipped=str(sum(result.outcome == "skipped" for result in results)),
        errors="0",
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="integ", name=result.name, time=f"{result.seconds:.3f}")
        if result.outcome == "failed":
            ET.SubElement(case, "failure", message=result.reason).text = "\n".join(result.exchanges)
        elif result.outcome == "skipped":
            ET.SubElement(case, "skipped", message=result.reason)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
