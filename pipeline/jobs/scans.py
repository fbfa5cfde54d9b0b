"""Scans of published images: started where they must be, waited for, and read, whatever kind of scan a registry makes.

With basic scanning a scan is started here (ECR allows one a day for an image; its findings then stand). With enhanced
scanning, Amazon Inspector scans by itself, and to start one is refused ("This feature is disabled"). In another account
the lookup role may read findings but not start a scan: there the registry has to scan on push (README, bootstrap).
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_PAUSE, _DEADLINE = 2.0, 900.0
_REBUILD = "Have the image built again: change the date in its Dockerfile."
#: Ends of a scan that say what to do.
_REMEDIES = {
    "SCAN_ELIGIBILITY_EXPIRED": f"Amazon Inspector no longer watches an image this old. {_REBUILD}",
    "IMAGE_ARCHIVED": f"ECR has archived the image. {_REBUILD}",
}


class ScanError(Exception):
    """An image could not be shown to be sound; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, order=True)
class Image:
    """An image where it was published."""

    account: str
    region: str
    repository: str
    tag: str
    release: str = ""
    """Name of the Debian release that it is built on; empty where the Dockerfile does not say."""

    def __str__(self) -> str:
        """The image on one line."""
        return f"{self.repository}:{self.tag[:12]} ({self.account}, {self.region})"


@dataclass(frozen=True, kw_only=True, order=True)
class Vulnerability:
    """A vulnerability of one package of an image, whoever found it."""

    name: str
    severity: str
    package: str = ""
    version: str = ""
    of_distribution: bool = True
    """Whether the package is the distribution's, not one of a language."""
    link: str = ""

    def __str__(self) -> str:
        """The vulnerability on one line."""
        return " ".join(part for part in (self.name, self.package, self.version, self.link) if part)


def registry(image: Image, own_account: str) -> "ECRClient":
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


def vulnerabilities_of(
    client: "ECRClient", image: Image, *, may_start: bool, pause: float = _PAUSE
) -> list[Vulnerability]:
    """What a scan has found in an image, after waiting for its end.

    Raises:
        ScanError: there is no scan and none may be started, it failed, or it does not end.
    """
    scans_by_itself = _is_enhanced(client, image)
    if may_start and not scans_by_itself:
        _start(client, image)
    deadline = time.monotonic() + _DEADLINE
    while True:
        status, found = _read(client, image, appears=scans_by_itself)
        if status in ("COMPLETE", "ACTIVE"):
            return found
        if status not in ("IN_PROGRESS", "PENDING"):
            raise ScanError(f"{image}: the scan ended in {status}. {_REMEDIES.get(status, '')}".strip())
        if time.monotonic() > deadline:
            raise ScanError(f"{image}: the scan has not ended in {_DEADLINE:.0f} s.")
        time.sleep(pause)


def _is_enhanced(client: "ECRClient", image: Image) -> bool:
    try:
        configuration = client.get_registry_scanning_configuration()["scanningConfiguration"]
    except ClientError as error:
        raise ScanError(f"{image}: how its registry scans could not be read: {error}") from error
    return configuration.get("scanType") == "ENHANCED"


def _start(client: "ECRClient", image: Image) -> None:
    try:
        client.start_image_scan(repositoryName=image.repository, imageId={"imageTag": image.tag})
    except ClientError as error:
        if error.response["Error"]["Code"] != "LimitExceededException":  # scanned already today: those findings stand
            raise ScanError(f"{image}: no scan could be started: {error}") from error


def _read(client: "ECRClient", image: Image, *, appears: bool) -> tuple[str, list[Vulnerability]]:
    """State and findings of a scan; `appears`: one that is not there yet will be."""
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
        if appears and error.response["Error"]["Code"] == "ScanNotFoundException":
            return "PENDING", []
        raise ScanError(f"{image}: there is no scan to read: {error}. Have its registry scan on push.") from error
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
    """One for each package: an image may hold a vulnerability more than once."""
    if finding.get("status") == "CLOSED":  # by Inspector, because it is no longer there
        return
    details = finding.get("packageVulnerabilityDetails", {})
    for package in details.get("vulnerablePackages") or [{}]:
        yield Vulnerability(
            name=details.get("vulnerabilityId") or finding.get("title", "?"),
            severity=finding.get("severity", "UNDEFINED"),
            package=package.get("name", ""),
            version=_version(package),
            of_distribution=package.get("packageManager") == "OS",
            link=details.get("sourceUrl", ""),
        )


def _version(package: Mapping[str, Any]) -> str:
    epoch = f"{package['epoch']}:" if package.get("epoch") else ""
    release = f"-{package['release']}" if package.get("release") else ""
    return f"{epoch}{package.get('version', '')}{release}"
