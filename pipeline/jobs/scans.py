"""Scans of published images: starts them where necessary, waits for them and reads their findings.

With basic scanning, the scan is started here; ECR allows one a day for an image, whose findings then stand. With
enhanced scanning, Amazon Inspector scans on its own, and ECR refuses to start a scan ("This feature is disabled"). In
another account the lookup role may read findings but not start a scan: that registry has to scan on push (README,
bootstrap).
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from pipeline.jobs.credentials import assume_role

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_POLL_SECONDS = 2.0
_TIMEOUT_SECONDS = 900.0
_REBUILD = "Rebuild the image: change the date in its Dockerfile."
#: What to do about the final status of a scan.
_REMEDIES = {
    "SCAN_ELIGIBILITY_EXPIRED": f"Amazon Inspector no longer monitors an image this old. {_REBUILD}",
    "IMAGE_ARCHIVED": f"ECR has archived the image. {_REBUILD}",
}


class ScanError(Exception):
    """A scan is missing or failed; the message gives the cause and the remedy."""


@dataclass(frozen=True, kw_only=True, order=True)
class Image:
    """An image in a registry."""

    account: str
    region: str
    repository: str
    tag: str
    #: Debian release of the base image, such as `trixie`; empty if the Dockerfile does not name one.
    release: str = ""

    def __str__(self) -> str:
        """The image on one line."""
        return f"{self.repository}:{self.tag[:12]} ({self.account}, {self.region})"


@dataclass(frozen=True, kw_only=True, order=True)
class Vulnerability:
    """A vulnerability of one package of an image, from either kind of scan."""

    name: str
    severity: str
    package: str = ""
    version: str = ""
    #: Whether it is a package of the operating system, not of a programming language.
    is_os_package: bool = True
    link: str = ""

    def __str__(self) -> str:
        """The vulnerability on one line."""
        return " ".join(part for part in (self.name, self.package, self.version, self.link) if part)


def registry(image: Image, own_account: str) -> "ECRClient":
    """Return a client for an image's registry, with the lookup role if it is in another account."""
    if image.account == own_account:
        return boto3.client("ecr", region_name=image.region)
    role = f"arn:aws:iam::{image.account}:role/cdk-hnb659fds-lookup-role-{image.account}-{image.region}"
    return assume_role(role, region=image.region, session_name="image-scan", seconds=3_600).client("ecr")


def vulnerabilities_of(
    client: "ECRClient", image: Image, *, may_start: bool, poll_seconds: float = _POLL_SECONDS
) -> list[Vulnerability]:
    """Wait for the scan of an image and return its findings.

    Args:
        client: client for the image's registry.
        image: the image.
        may_start: whether a scan may be started here.
        poll_seconds: pause between two requests for its status.

    Raises:
        ScanError: there is no scan and none may be started, it failed, or it does not finish in time.
    """
    enhanced = _is_enhanced(client, image)
    if may_start and not enhanced:
        _start(client, image)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        status, found = _read(client, image, is_expected=enhanced)
        if status in ("COMPLETE", "ACTIVE"):
            return found
        if status not in ("IN_PROGRESS", "PENDING"):
            raise ScanError(f"{image}: the scan ended with status {status}. {_REMEDIES.get(status, '')}".strip())
        if time.monotonic() > deadline:
            raise ScanError(f"{image}: the scan has not finished within {_TIMEOUT_SECONDS:.0f} s.")
        time.sleep(poll_seconds)


def _is_enhanced(client: "ECRClient", image: Image) -> bool:
    try:
        configuration = client.get_registry_scanning_configuration()["scanningConfiguration"]
    except ClientError as error:
        raise ScanError(f"{image}: the scanning configuration of its registry cannot be read: {error}") from error
    return configuration.get("scanType") == "ENHANCED"


def _start(client: "ECRClient", image: Image) -> None:
    try:
        client.start_image_scan(repositoryName=image.repository, imageId={"imageTag": image.tag})
    except ClientError as error:
        if error.response["Error"]["Code"] != "LimitExceededException":  # scanned within 24 hours: those findings stand
            raise ScanError(f"{image}: the scan cannot be started: {error}") from error


def _read(client: "ECRClient", image: Image, *, is_expected: bool) -> tuple[str, list[Vulnerability]]:
    """Return status and findings of a scan; one that does not exist yet is pending if it `is_expected`."""
    found: list[Vulnerability] = []
    status = "PENDING"
    try:
        pages = client.get_paginator("describe_image_scan_findings").paginate(
            repositoryName=image.repository, imageId={"imageTag": image.tag}
        )
        for page in pages:
            status = page["imageScanStatus"]["status"]
            findings: Mapping[str, Any] = page.get("imageScanFindings", {})
            found += [_basic(one) for one in findings.get("findings", ())]
            found += [each for one in findings.get("enhancedFindings", ()) for each in _enhanced(one)]
    except ClientError as error:
        if is_expected and error.response["Error"]["Code"] == "ScanNotFoundException":
            return "PENDING", []
        raise ScanError(f"{image}: no scan can be read: {error}. Configure its registry to scan on push.") from error
    return status, found


def _basic(finding: Mapping[str, Any]) -> Vulnerability:
    attributes = {one["key"]: one.get("value", "") for one in finding.get("attributes", ())}
    return Vulnerability(
        name=finding.get("name", "?"),
        severity=finding.get("severity", "UNDEFINED"),
        package=attributes.get("package_name", ""),
        version=attributes.get("package_version", ""),
        link=finding.get("uri", ""),
    )


def _enhanced(finding: Mapping[str, Any]) -> Iterator[Vulnerability]:
    """Yield a vulnerability for each affected package."""
    if finding.get("status") == "CLOSED":  # no longer in the image
        return
    details = finding.get("packageVulnerabilityDetails", {})
    for package in details.get("vulnerablePackages") or [{}]:
        yield Vulnerability(
            name=details.get("vulnerabilityId") or finding.get("title", "?"),
            severity=finding.get("severity", "UNDEFINED"),
            package=package.get("name", ""),
            version=_version(package),
            is_os_package=package.get("packageManager") == "OS",
            link=details.get("sourceUrl", ""),
        )


def _version(package: Mapping[str, Any]) -> str:
    epoch = f"{package['epoch']}:" if package.get("epoch") else ""
    release = f"-{package['release']}" if package.get("release") else ""
    return f"{epoch}{package.get('version', '')}{release}"
