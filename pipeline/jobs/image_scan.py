"""No image with a critical vulnerability goes anywhere: `python -m pipeline.jobs.image_scan --assembly cdk.out ...`.

Looks at every image that the assembly publishes, where it was published. The bootstrap's repository does not scan on
push, so the scan is started here (ECR allows one a day for an image; its findings then stand). In another account the
lookup role may read findings but not start a scan: there the registry has to scan on push (README, bootstrap commands).
A scan that is missing, failed or does not end is a failure.
"""

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

STOPPING = frozenset({"CRITICAL"})
"""Severities that stop the pipeline."""
_PAUSE, _DEADLINE = 2.0, 900.0


class ScanError(Exception):
    """An image could not be shown to be sound; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, order=True)
class Image:
    """An image where it was published."""

    account: str
    region: str
    repository: str
    tag: str

    def __str__(self) -> str:
        """The image on one line."""
        return f"{self.repository}:{self.tag[:12]} ({self.account}, {self.region})"


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
                )


def scanner(image: Image, own_account: str) -> "ECRClient":
    """A client for an image's registry: with the step's own rights at home, else with the lookup role's."""
    if image.account == own_account:
        return boto3.client("ecr", region_name=image.region)
    role = f"arn:aws:iam::{image.account}:role/cdk-hnb659fds-lookup-role-{image.account}-{image.region}"
    granted = boto3.client("sts", region_name=image.region).assume_role(RoleArn=role, RoleSessionName="image-scan")
    return boto3.client(
        "ecr",
        region_name=image.region,
        aws_access_key_id=granted["Credentials"]["AccessKeyId"],
        aws_secret_access_key=granted["Credentials"]["SecretAccessKey"],
        aws_session_token=granted["Credentials"]["SessionToken"],
    )


def findings_of(
    client: "ECRClient", image: Image, *, may_start: bool, pause: float = _PAUSE
) -> list[Mapping[str, Any]]:
    """What a scan has found in an image, after waiting for its end.

    Raises:
        ScanError: there is no scan and none may be started, it failed, or it does not end.
    """
    if may_start:
        _start(client, image)
    deadline = time.monotonic() + _DEADLINE
    while True:
        status, findings = _read(client, image)
        if status in ("COMPLETE", "ACTIVE"):
            return findings
        if status not in ("IN_PROGRESS", "PENDING"):
            raise ScanError(f"{image}: the scan ended in {status}.")
        if time.monotonic() > deadline:
            raise ScanError(f"{image}: the scan has not ended in {_DEADLINE:.0f} s.")
        time.sleep(pause)


def _start(client: "ECRClient", image: Image) -> None:
    try:
        client.start_image_scan(repositoryName=image.repository, imageId={"imageTag": image.tag})
    except ClientError as error:
        if error.response["Error"]["Code"] != "LimitExceededException":  # scanned already today: those findings stand
            raise ScanError(f"{image}: no scan could be started: {error}") from error


def _read(client: "ECRClient", image: Image) -> tuple[str, list[Mapping[str, Any]]]:
    findings: list[Mapping[str, Any]] = []
    status = "PENDING"
    try:
        pages = client.get_paginator("describe_image_scan_findings").paginate(
            repositoryName=image.repository, imageId={"imageTag": image.tag}
        )
        for page in pages:
            status = page["imageScanStatus"]["status"]
            found: Mapping[str, Any] = page.get("imageScanFindings", {})
            findings += [*found.get("findings", ()), *found.get("enhancedFindings", ())]
    except ClientError as error:
        raise ScanError(f"{image}: there is no scan to read: {error}. Have its registry scan on push.") from error
    return status, findings


def stopping(findings: Sequence[Mapping[str, Any]], accepted: Mapping[str, Any]) -> list[str]:
    """Names of the findings that stop the pipeline, and of what they are in."""
    today = dt.datetime.now(dt.UTC).date()
    return sorted(
        f"{_name(one)} {one.get('uri') or one.get('description', '')}".strip()
        for one in findings
        if one.get("severity") in STOPPING
        and not (_name(one) in accepted and dt.date.fromisoformat(accepted[_name(one)]["until"]) >= today)
    )


def _name(finding: Mapping[str, Any]) -> str:
    details = finding.get("packageVulnerabilityDetails", {})
    return str(finding.get("name") or details.get("vulnerabilityId") or finding.get("title", "?"))


def main(arguments: Sequence[str]) -> int:
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
    failed = False
    for image in images:
        try:
            findings = findings_of(scanner(image, options.account), image, may_start=image.account == options.account)
        except ScanError as error:
            sys.stderr.write(f"{error}\n")
            failed = True
            continue
        bad = stopping(findings, accepted)
        failed = failed or bool(bad)
        sys.stdout.write(f"{image}: {len(findings)} findings, {len(bad)} stop the pipeline\n")
        sys.stderr.writelines(f"{image}: {one}\n" for one in bad)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
