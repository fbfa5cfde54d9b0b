"""Scans as ECR answers for each kind: requests and answers are held against the API's own model."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.jobs import scans
from pipeline.jobs.scans import Image, ScanError, Vulnerability, vulnerabilities_of
from tests.pipeline.model import TOOLING

IMAGE = Image(account=TOOLING, region="us-east-1", repository="assets", tag="0123")
ASKED = {"repositoryName": "assets", "imageId": {"imageTag": "0123"}}
READ, START = "describe_image_scan_findings", "start_image_scan"
#: As Amazon Inspector describes a package of Debian, and one of Python.
ENHANCED = {
    "type": "PACKAGE_VULNERABILITY",
    "status": "ACTIVE",
    "severity": "CRITICAL",
    "fixAvailable": "YES",
    "title": "CVE-2026-0001 - openssl, cryptography",
    "packageVulnerabilityDetails": {
        "vulnerabilityId": "CVE-2026-0001",
        "sourceUrl": "https://security-tracker.debian.org/tracker/CVE-2026-0001",
        "vulnerablePackages": [
            {"name": "openssl", "epoch": 1, "version": "3.5.7", "release": "1~deb13u2", "packageManager": "OS"},
            {"name": "cryptography", "epoch": 0, "version": "46.0.1", "packageManager": "PYTHONPKG"},
        ],
    },
}


class Registry:
    """A client of ECR whose next answers are known."""

    def __init__(self) -> None:
        self.client: Any = boto3.client(
            "ecr", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.stubber = Stubber(self.client)

    def scans(self, kind: str) -> None:
        configuration = {"scanType": kind, "rules": []}
        self.stubber.add_response(
            "get_registry_scanning_configuration",
            {"registryId": TOOLING, "scanningConfiguration": configuration},
            {},
        )

    def answers(self, status: str, **findings: Any) -> None:
        answer = {**ASKED, "imageScanStatus": {"status": status}, "imageScanFindings": findings}
        self.stubber.add_response(READ, answer, ASKED)

    def refuses(self, operation: str, code: str, message: str = "") -> None:
        self.stubber.add_client_error(operation, code, message, expected_params=ASKED)


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    with made.stubber:
        yield made
    made.stubber.assert_no_pending_responses()


def test_basic_scanning_is_started_and_waited_for(registry: Registry) -> None:
    registry.scans("BASIC")
    registry.stubber.add_response(START, {**ASKED, "imageScanStatus": {"status": "IN_PROGRESS"}}, ASKED)
    registry.answers("IN_PROGRESS")
    attributes = [{"key": "package_version", "value": "2.41-12"}, {"key": "package_name", "value": "glibc"}]
    registry.answers(
        "COMPLETE",
        findings=[{"name": "CVE-2026-0002", "severity": "CRITICAL", "uri": "https://x", "attributes": attributes}],
    )
    assert vulnerabilities_of(registry.client, IMAGE, may_start=True, pause=0) == [
        Vulnerability(name="CVE-2026-0002", severity="CRITICAL", package="glibc", version="2.41-12", link="https://x")
    ]


def test_enhanced_scanning_is_not_started_but_waited_for(registry: Registry) -> None:
    """Amazon Inspector scans by itself, and a moment after the push it does not know the image yet."""
    registry.scans("ENHANCED")
    registry.refuses(READ, "ScanNotFoundException")
    registry.answers("PENDING")
    registry.answers("ACTIVE", enhancedFindings=[ENHANCED, {**ENHANCED, "status": "CLOSED"}])
    found = vulnerabilities_of(registry.client, IMAGE, may_start=True, pause=0)
    assert [(one.name, one.package, one.version, one.of_distribution) for one in found] == [
        ("CVE-2026-0001", "openssl", "1:3.5.7-1~deb13u2", True),
        ("CVE-2026-0001", "cryptography", "46.0.1", False),
    ]


def test_a_scan_that_inspector_has_given_up_says_how_to_get_another(registry: Registry) -> None:
    registry.scans("ENHANCED")
    registry.answers("SCAN_ELIGIBILITY_EXPIRED")
    with pytest.raises(ScanError, match="no longer watches an image this old"):
        vulnerabilities_of(registry.client, IMAGE, may_start=True, pause=0)


def test_inspector_that_never_finds_the_image_is_a_failure(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_DEADLINE", -1.0)
    registry.scans("ENHANCED")
    registry.refuses(READ, "ScanNotFoundException")
    with pytest.raises(ScanError, match="has not ended"):
        vulnerabilities_of(registry.client, IMAGE, may_start=False, pause=0)


def test_how_a_registry_scans_must_be_readable(registry: Registry) -> None:
    registry.stubber.add_client_error("get_registry_scanning_configuration", "AccessDeniedException")
    with pytest.raises(ScanError, match="how its registry scans could not be read"):
        vulnerabilities_of(registry.client, IMAGE, may_start=True, pause=0)
