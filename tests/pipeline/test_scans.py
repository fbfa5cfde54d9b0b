"""Scans of both kinds; requests and responses are checked against ECR's API model."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.jobs import scans
from pipeline.jobs.scans import Image, ScanError, Vulnerability, vulnerabilities_of
from tests.pipeline.model import TOOLING

IMAGE = Image(account=TOOLING, region="us-east-1", repository="assets", tag="0123")
REQUEST = {"repositoryName": "assets", "imageId": {"imageTag": "0123"}}
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
    """An ECR client with stubbed responses."""

    def __init__(self) -> None:
        self.client: Any = boto3.client(
            "ecr", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.stubber = Stubber(self.client)

    def configure(self, kind: str) -> None:
        configuration = {"scanType": kind, "rules": []}
        self.stubber.add_response(
            "get_registry_scanning_configuration",
            {"registryId": TOOLING, "scanningConfiguration": configuration},
            {},
        )

    def respond(self, status: str, **findings: object) -> None:
        response = {**REQUEST, "imageScanStatus": {"status": status}, "imageScanFindings": findings}
        self.stubber.add_response(READ, response, REQUEST)

    def fail(self, operation: str, code: str, message: str = "") -> None:
        self.stubber.add_client_error(operation, code, message, expected_params=REQUEST)


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    with registry.stubber:
        yield registry
    registry.stubber.assert_no_pending_responses()


def test_basic_scanning_is_started_and_waited_for(registry: Registry) -> None:
    registry.configure("BASIC")
    registry.stubber.add_response(START, {**REQUEST, "imageScanStatus": {"status": "IN_PROGRESS"}}, REQUEST)
    registry.respond("IN_PROGRESS")
    attributes = [{"key": "package_version", "value": "2.41-12"}, {"key": "package_name", "value": "glibc"}]
    registry.respond(
        "COMPLETE",
        findings=[{"name": "CVE-2026-0002", "severity": "CRITICAL", "uri": "https://x", "attributes": attributes}],
    )
    assert vulnerabilities_of(registry.client, IMAGE, may_start=True, poll_seconds=0) == [
        Vulnerability(name="CVE-2026-0002", severity="CRITICAL", package="glibc", version="2.41-12", link="https://x")
    ]


def test_enhanced_scanning_is_not_started_but_waited_for(registry: Registry) -> None:
    """Amazon Inspector scans on its own, and does not know an image immediately after the push."""
    registry.configure("ENHANCED")
    registry.fail(READ, "ScanNotFoundException")
    registry.respond("PENDING")
    registry.respond("ACTIVE", enhancedFindings=[ENHANCED, {**ENHANCED, "status": "CLOSED"}])
    found = vulnerabilities_of(registry.client, IMAGE, may_start=True, poll_seconds=0)
    assert [(one.name, one.package, one.version, one.is_os_package) for one in found] == [
        ("CVE-2026-0001", "openssl", "1:3.5.7-1~deb13u2", True),
        ("CVE-2026-0001", "cryptography", "46.0.1", False),
    ]


def test_an_image_that_inspector_no_longer_monitors_must_be_rebuilt(registry: Registry) -> None:
    registry.configure("ENHANCED")
    registry.respond("SCAN_ELIGIBILITY_EXPIRED")
    with pytest.raises(ScanError, match="no longer monitors an image this old"):
        vulnerabilities_of(registry.client, IMAGE, may_start=True, poll_seconds=0)


def test_a_scan_that_never_appears_is_a_failure(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_TIMEOUT_SECONDS", -1.0)
    registry.configure("ENHANCED")
    registry.fail(READ, "ScanNotFoundException")
    with pytest.raises(ScanError, match="has not finished"):
        vulnerabilities_of(registry.client, IMAGE, may_start=False, poll_seconds=0)


def test_an_unreadable_scanning_configuration_is_a_failure(registry: Registry) -> None:
    registry.stubber.add_client_error("get_registry_scanning_configuration", "AccessDeniedException")
    with pytest.raises(ScanError, match="the scanning configuration of its registry cannot be read"):
        vulnerabilities_of(registry.client, IMAGE, may_start=True, poll_seconds=0)
