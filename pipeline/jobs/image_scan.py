"""Stops the pipeline on a critical vulnerability: `python -m pipeline.jobs.image_scan --assembly cdk.out ...`.

Reads the scan of every image that the cloud assembly publishes, in the registry where it was published. A missing,
failed or unfinished scan is a failure (`scans.py`). A critical finding passes only if Debian's security tracker says
that the installed package is not affected or that the vulnerability is minor (`debian.py`), or if it is accepted until
a day that has not passed. If the tracker cannot be read, the finding stands. Why:
docs/decisions/0208-image-gate.md.
"""

import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.jobs.debian import SecurityTracker
from pipeline.jobs.scans import Image, ScanError, Vulnerability, registry, vulnerabilities_of

#: Severities that stop the pipeline.
STOPPING = frozenset({"CRITICAL"})
_BASE = re.compile(r"^FROM\s+(?:--\S+\s+)*\S+[:-](?P<release>[a-z]+)(?:@\S+)?(?:\s|$)", re.MULTILINE | re.IGNORECASE)

#: Vulnerability id to the `reason` of its acceptance, to `until`, its last day, and to the `package` if it has one.
Acceptances = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision on a finding of a severity that stops the pipeline."""

    finding: Vulnerability
    passes: bool
    reason: str

    def __str__(self) -> str:
        """The verdict on one line."""
        return f"{self.finding}: {'passes' if self.passes else 'stops the pipeline'}. {self.reason}"


def images_of(assembly: Path) -> list[Image]:
    """Return every image that a cloud assembly publishes, once for each registry."""
    return sorted(set(_images(assembly)))


def _images(assembly: Path) -> Iterator[Image]:
    for path in assembly.rglob("*.assets.json"):
        for asset in json.loads(path.read_text(encoding="utf-8")).get("dockerImages", {}).values():
            for destination in asset["destinations"].values():
                yield Image(
                    account=destination["assumeRoleArn"].replace("${AWS::Partition}", "aws").split(":")[4],
                    region=destination["region"],
                    repository=destination["repositoryName"],
                    tag=destination["imageTag"],
                    release=_release(path.parent, asset.get("source", {})),
                )


def _release(folder: Path, source: Mapping[str, str]) -> str:
    """Return the Debian release of the last stage's base image, the end of its tag: `python:3.13-slim-trixie`."""
    dockerfile = folder / source.get("directory", "") / source.get("dockerFile", "Dockerfile")
    if not dockerfile.is_file():
        return ""
    found = [match["release"] for match in _BASE.finditer(dockerfile.read_text(encoding="utf-8"))]
    return found[-1] if found else ""


def judge(
    found: Sequence[Vulnerability], *, release: str, accepted: Acceptances, tracker: SecurityTracker
) -> list[Verdict]:
    """Return a verdict on each finding of a severity that stops the pipeline."""
    return [
        _verdict(one, release=release, accepted=accepted, tracker=tracker)
        for one in sorted(set(found))
        if one.severity in STOPPING
    ]


def _verdict(finding: Vulnerability, *, release: str, accepted: Acceptances, tracker: SecurityTracker) -> Verdict:
    acceptance = accepted.get(finding.name)
    if acceptance and acceptance.get("package", finding.package) == finding.package:
        until = dt.date.fromisoformat(acceptance["until"])
        if until >= dt.datetime.now(dt.UTC).date():
            return Verdict(finding=finding, passes=True, reason=f"Accepted until {until}: {acceptance['reason']}")
    assessment = None
    if finding.is_os_package and finding.version and release:
        assessment = tracker.assess(finding.name, release=release, package=finding.package, version=finding.version)
    if assessment is None:
        return Verdict(finding=finding, passes=False, reason=tracker.unreachable or "Not in Debian's security tracker")
    return Verdict(finding=finding, passes=assessment.acceptable, reason=assessment.reason)


def main(arguments: Sequence[str], *, tracker: SecurityTracker | None = None) -> int:
    """Check every image of a cloud assembly and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.jobs.image_scan", description=__doc__.splitlines()[0])
    parser.add_argument("--assembly", type=Path, required=True, help="folder of the whole cloud assembly")
    parser.add_argument("--account", required=True, help="account of the pipeline")
    parser.add_argument("--accepted", type=Path, required=True, help="JSON file of accepted vulnerabilities")
    options = parser.parse_args(arguments)
    accepted = json.loads(options.accepted.read_text(encoding="utf-8"))
    images = images_of(options.assembly)
    if not images:
        sys.stderr.write(f"{options.assembly} publishes no image, so there is nothing to scan.\n")
        return 1
    tracker = tracker or SecurityTracker()
    passed = [_passes(image, account=options.account, accepted=accepted, tracker=tracker) for image in images]
    return int(not all(passed))


def _passes(image: Image, *, account: str, accepted: Acceptances, tracker: SecurityTracker) -> bool:
    """Print the verdicts on an image and return whether it passes."""
    try:
        found = vulnerabilities_of(registry(image, account), image, may_start=image.account == account)
    except ScanError as error:
        sys.stderr.write(f"{error}\n")
        return False
    verdicts = judge(found, release=image.release, accepted=accepted, tracker=tracker)
    stopping = [one for one in verdicts if not one.passes]
    sys.stdout.write(f"{image}: {len(found)} findings, {len(stopping)} stop the pipeline\n")
    sys.stdout.writelines(f"{image}: {one}\n" for one in verdicts if one.passes)
    sys.stderr.writelines(f"{image}: {one}\n" for one in stopping)
    if stopping:
        sys.stderr.write(_REMEDY)
    return not stopping


_REMEDY = (
    "If Debian has a fix, rebuild on a newer base image: change the date in service/Dockerfile and push. If not, "
    "accept the vulnerability in pipeline/gates/accepted_vulnerabilities.json, with a reason and a last day.\n"
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
