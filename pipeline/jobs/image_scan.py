"""No image with a critical vulnerability goes anywhere: `python -m pipeline.jobs.image_scan --assembly cdk.out ...`.

Looks at every image that the assembly publishes, where it was published. A scan that is missing, failed or does not end
is a failure (`scans.py`). A critical finding passes only if Debian says that the installed package does not have it, or
that it is minor there (`debian.py`), or if it is accepted until a day that has not passed. Where Debian cannot be
asked, the finding stands. Why: docs/decisions/0208-image-gate.md.
"""

import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.jobs.debian import Debian
from pipeline.jobs.scans import Image, ScanError, Vulnerability, registry, vulnerabilities_of

STOPPING = frozenset({"CRITICAL"})
"""Severities that stop the pipeline."""
_BASE = re.compile(r"^FROM\s+(?:--\S+\s+)*\S+[:-](?P<release>[a-z]+)(?:@\S+)?(?:\s|$)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What comes of one finding that could stop the pipeline."""

    finding: Vulnerability
    passes: bool
    reason: str

    def __str__(self) -> str:
        """The verdict on one line."""
        return f"{self.finding}: {'passes' if self.passes else 'stops the pipeline'}. {self.reason}"


def images_of(assembly: Path) -> list[Image]:
    """Every image that an assembly publishes, in every place, once."""
    return sorted(set(_images(assembly)))


def _images(assembly: Path) -> Iterator[Image]:
    for path in assembly.rglob("*.assets.json"):
        for asset in json.loads(path.read_text(encoding="utf-8")).get("dockerImages", {}).values():
            for place in asset["destinations"].values():
                yield Image(
                    account=place["assumeRoleArn"].replace("${AWS::Partition}", "aws").split(":")[4],
                    region=place["region"],
                    repository=place["repositoryName"],
                    tag=place["imageTag"],
                    release=_release(path.parent, asset.get("source", {})),
                )


def _release(folder: Path, source: Mapping[str, str]) -> str:
    """The Debian release of the last stage's base, as official images end their tags: `python:3.13-slim-trixie`."""
    dockerfile = folder / source.get("directory", "") / source.get("dockerFile", "Dockerfile")
    if not dockerfile.is_file():
        return ""
    found = [match["release"] for match in _BASE.finditer(dockerfile.read_text(encoding="utf-8"))]
    return found[-1] if found else ""


def judge(
    found: Sequence[Vulnerability], *, release: str, accepted: Mapping[str, Any], debian: Debian
) -> list[Verdict]:
    """A verdict on each finding that could stop the pipeline."""
    return [
        _verdict(one, release=release, accepted=accepted, debian=debian)
        for one in sorted(set(found))
        if one.severity in STOPPING
    ]


def _verdict(one: Vulnerability, *, release: str, accepted: Mapping[str, Any], debian: Debian) -> Verdict:
    acceptance = accepted.get(one.name)
    if acceptance and acceptance.get("package", one.package) == one.package:
        until = dt.date.fromisoformat(acceptance["until"])
        if until >= dt.datetime.now(dt.UTC).date():
            return Verdict(finding=one, passes=True, reason=f"Accepted until {until}: {acceptance['reason']}")
    said = None
    if one.of_distribution and one.version and release:
        said = debian.says(one.name, release=release, package=one.package, version=one.version)
    if said is not None:
        return Verdict(finding=one, passes=said.excuses, reason=said.text)
    return Verdict(finding=one, passes=False, reason=debian.unreachable or "Debian says nothing of it")


def main(arguments: Sequence[str], *, debian: Debian | None = None) -> int:
    """Judge every image of an assembly and answer the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.jobs.image_scan", description=__doc__.splitlines()[0])
    parser.add_argument("--assembly", type=Path, required=True, help="the whole cloud assembly")
    parser.add_argument("--account", required=True, help="the account that this runs in")
    parser.add_argument("--accepted", type=Path, required=True, help="JSON of accepted vulnerabilities")
    options = parser.parse_args(arguments)
    accepted = json.loads(options.accepted.read_text(encoding="utf-8"))
    images = images_of(options.assembly)
    if not images:
        sys.stderr.write(f"{options.assembly} publishes no image: there was nothing to scan.\n")
        return 1
    debian = debian or Debian()
    sound = [_pass(image, account=options.account, accepted=accepted, debian=debian) for image in images]
    return int(not all(sound))


def _pass(image: Image, *, account: str, accepted: Mapping[str, Any], debian: Debian) -> bool:
    """Whether an image may go on; says why, finding by finding."""
    try:
        found = vulnerabilities_of(registry(image, account), image, may_start=image.account == account)
    except ScanError as error:
        sys.stderr.write(f"{error}\n")
        return False
    verdicts = judge(found, release=image.release, accepted=accepted, debian=debian)
    bad = [one for one in verdicts if not one.passes]
    sys.stdout.write(f"{image}: {len(found)} findings, {len(bad)} stop the pipeline\n")
    sys.stdout.writelines(f"{image}: {one}\n" for one in verdicts if one.passes)
    sys.stderr.writelines(f"{image}: {one}\n" for one in bad)
    if bad:
        sys.stderr.write(_REMEDY)
    return not bad


_REMEDY = (
    "What Debian has fixed comes with a newer base image: change the date in service/Dockerfile and push. What it has "
    "not fixed can be accepted in pipeline/gates/accepted_vulnerabilities.json, with a reason and a last day.\n"
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
