"""The image gate: a critical finding stops the pipeline, and so does a missing or failed scan."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from pipeline.jobs import image_scan, scans
from pipeline.jobs.debian import SecurityTracker, TrackedPackages
from tests.pipeline.model import PRODUCTION, TOOLING

#: Two stages, as in the service's; the release is that of the last one.
DOCKERFILE = """\
FROM public.ecr.aws/docker/library/python:3.13-slim-bookworm AS build
FROM --platform=linux/amd64 public.ecr.aws/docker/library/python:3.13-slim-trixie
"""

Scan = Callable[..., int]


def unreachable() -> TrackedPackages:
    raise requests.ConnectionError("no route")


class Registry:
    """A fake of ECR."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.error = ""
        self.statuses = ["IN_PROGRESS", "COMPLETE"]
        self.findings: list[Mapping[str, Any]] = []
        self.enhanced: list[Mapping[str, Any]] = []
        self.missing = False
        self.scan_type = "BASIC"

    def get_registry_scanning_configuration(self) -> object:
        return {"scanningConfiguration": {"scanType": self.scan_type, "rules": []}}

    def start_image_scan(self, **request: Any) -> None:
        if self.error:
            raise ClientError({"Error": {"Code": self.error, "Message": "refused"}}, "StartImageScan")
        self.started.append(request["imageId"]["imageTag"])

    def get_paginator(self, name: str) -> Any:
        assert name == "describe_image_scan_findings"
        return SimpleNamespace(paginate=self.paginate)

    def paginate(self, **_: Any) -> list[Any]:
        if self.missing:
            raise ClientError({"Error": {"Code": "ScanNotFoundException", "Message": "none"}}, "Describe")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        found = {"findings": self.findings, "enhancedFindings": self.enhanced}
        return [{"imageScanStatus": {"status": status}, "imageScanFindings": found}]

    def assume_role(self, **request: Any) -> object:
        assert request["RoleArn"].startswith(f"arn:aws:iam::{PRODUCTION}:role/cdk-hnb659fds-lookup-role-")
        return {"Credentials": {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    fake = Registry()
    monkeypatch.setattr(boto3, "client", lambda *_, **__: fake)
    monkeypatch.setattr(boto3, "Session", lambda **_: SimpleNamespace(client=lambda _: fake))
    monkeypatch.setattr(scans.time, "sleep", lambda _: None)  # type: ignore[attr-defined]  # the module is replaced through its user
    return fake


@pytest.fixture
def scan(tmp_path: Path, registry: Registry) -> Scan:
    """Run the gate over an assembly that publishes one image to each account."""

    def scan(*accounts: str, accepted: Mapping[str, Any] | None = None, tracker: TrackedPackages | None = None) -> int:
        destinations = {
            account: {
                "repositoryName": f"assets-{account}",
                "imageTag": "0123456789abcdef",
                "region": "us-east-1",
                "assumeRoleArn": f"arn:${{AWS::Partition}}:iam::{account}:role/publish",
            }
            for account in accounts
        }
        source = {"directory": "asset.0123", "dockerFile": "Dockerfile"}
        (tmp_path / "asset.0123").mkdir(exist_ok=True)
        (tmp_path / "asset.0123" / "Dockerfile").write_text(DOCKERFILE)
        manifest = {"dockerImages": {"image": {"source": source, "destinations": destinations}}}
        for name in ("one", "two"):  # an image of two stacks is scanned once
            (tmp_path / f"{name}.assets.json").write_text(json.dumps(manifest))
        (tmp_path / "accepted.json").write_text(json.dumps(accepted or {}))
        return image_scan.main(
            ["--assembly", str(tmp_path), "--account", TOOLING, "--accepted", str(tmp_path / "accepted.json")],
            tracker=SecurityTracker(unreachable if tracker is None else lambda: tracker),
        )

    return scan


def test_an_image_passes_after_its_scan_has_finished(scan: Scan, registry: Registry) -> None:
    registry.findings = [{"name": "CVE-1", "severity": "HIGH"}]
    assert scan(TOOLING) == 0
    assert registry.started == ["0123456789abcdef"]


@pytest.mark.parametrize(
    "finding",
    [
        {"name": "CVE-1", "severity": "CRITICAL", "uri": "https://advisory.example/CVE-1"},
        {"severity": "CRITICAL", "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-1"}},
        {"severity": "CRITICAL", "title": "CVE-1"},
    ],
    ids=["basic", "enhanced", "title only"],
)
def test_a_critical_finding_stops(
    scan: Scan, registry: Registry, finding: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (registry.enhanced if "name" not in finding else registry.findings).append(finding)
    assert scan(TOOLING) == 1
    assert "CVE-1" in capsys.readouterr().err


def test_an_accepted_finding_passes_until_its_last_day(scan: Scan, registry: Registry) -> None:
    registry.findings = [{"name": "CVE-1", "severity": "CRITICAL"}]
    assert scan(TOOLING, accepted={"CVE-1": {"until": "9999-12-31", "reason": "not reachable"}}) == 0
    assert scan(TOOLING, accepted={"CVE-1": {"until": "2000-01-01", "reason": "not reachable"}}) == 1


def test_an_acceptance_for_one_package_does_not_cover_another(scan: Scan, registry: Registry) -> None:
    registry.findings = [critical("zlib", "1:1.3.1")]
    accepted = {"until": "9999-12-31", "reason": "nothing runs perl", "package": "perl"}
    assert scan(TOOLING, accepted={"CVE-1": accepted}) == 1
    assert scan(TOOLING, accepted={"CVE-1": {**accepted, "package": "zlib"}}) == 0


def critical(package: str, version: str) -> Mapping[str, Any]:
    """Return a finding of basic scanning."""
    attributes = [{"key": "package_name", "value": package}, {"key": "package_version", "value": version}]
    return {"name": "CVE-1", "severity": "CRITICAL", "uri": "https://advisory.example/CVE-1", "attributes": attributes}


def tracked(**trixie: str) -> TrackedPackages:
    """Return a tracker document about CVE-1 in openssl."""
    return {"openssl": {"CVE-1": {"releases": {"trixie": {"urgency": "not yet assigned", **trixie}}}}}


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        (tracked(status="resolved", fixed_version="3.5.7-1~deb13u2"), "fixed in openssl 3.5.7-1~deb13u2"),
        (tracked(status="resolved", fixed_version="0"), "never affected"),
        (tracked(status="open", nodsa="Minor issue", nodsa_reason=""), "Minor issue"),
        (tracked(status="open", nodsa="Minor issue", nodsa_reason="postponed"), "Minor issue"),
        (tracked(status="open", urgency="unimportant"), "unimportant"),
    ],
    ids=["fixed", "never affected", "no-dsa", "postponed", "unimportant"],
)
def test_a_finding_that_debian_clears_passes(
    scan: Scan, registry: Registry, tracker: TrackedPackages, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Basic scanning compares upstream versions, so it reports what Debian has fixed with a backport."""
    registry.findings = [critical("openssl", "3.5.7-1~deb13u2")]
    assert scan(TOOLING, tracker=tracker) == 0
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        (tracked(status="resolved", fixed_version="3.5.8-1~deb13u1"), "the image is older"),
        (tracked(status="open"), "not classified as minor"),
        (tracked(status="open", nodsa="Too intrusive", nodsa_reason="ignored"), "not classified as minor"),
        (tracked(status="undetermined"), "undetermined"),
        ({}, "Not in Debian's security tracker"),
        (None, "cannot be read: no route"),
    ],
    ids=["older", "open", "ignored", "undetermined", "unknown", "unreachable"],
)
def test_a_finding_that_debian_does_not_clear_stops(
    scan: Scan, registry: Registry, tracker: TrackedPackages | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.findings = [critical("openssl", "3.5.7-1~deb13u2")]
    assert scan(TOOLING, tracker=tracker) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "change the date in service/Dockerfile" in errors


def test_another_release_or_package_does_not_count(scan: Scan, registry: Registry) -> None:
    fixed = {"status": "resolved", "fixed_version": "1"}
    registry.findings = [critical("libssl3t64", "3.5.7-1~deb13u2")]
    assert scan(TOOLING, tracker={"openssl": {"CVE-1": {"releases": {"bookworm": fixed}}}}) == 1
    openssl = {"CVE-1": {"releases": {"trixie": fixed}}}
    assert scan(TOOLING, tracker={"openssl": openssl}) == 0, "a binary package, and only its source package is affected"
    other = {"CVE-1": {"releases": {"trixie": {"status": "open"}}}}
    assert scan(TOOLING, tracker={"openssl": openssl, "shim": other}) == 1, "the source package is ambiguous"


def test_the_tracker_is_not_read_without_a_critical_finding(scan: Scan, registry: Registry) -> None:
    registry.findings = [{**critical("openssl", "1"), "severity": "HIGH"}]
    assert scan(TOOLING) == 0, "the tracker is unreachable in this test"


def test_an_earlier_scan_of_the_day_is_read(scan: Scan, registry: Registry) -> None:
    registry.error = "LimitExceededException"
    assert scan(TOOLING) == 0


@pytest.mark.parametrize("error", ["AccessDeniedException", "ImageNotFoundException", "InvalidAction"])
def test_a_scan_that_cannot_be_started_stops(
    scan: Scan, registry: Registry, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    registry.error = error
    assert scan(TOOLING) == 1


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_a_scan_that_failed_stops(
    scan: Scan, registry: Registry, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.statuses = [status]
    assert scan(TOOLING) == 1
    assert status in capsys.readouterr().err


def test_a_scan_in_another_account_is_read_but_not_started(scan: Scan, registry: Registry) -> None:
    assert scan(PRODUCTION) == 0
    assert registry.started == []


def test_a_missing_scan_in_another_account_stops(
    scan: Scan, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.missing = True
    assert scan(TOOLING, PRODUCTION) == 1
    assert "Configure its registry to scan on push" in capsys.readouterr().err


def test_an_assembly_without_images_stops(scan: Scan, registry: Registry) -> None:
    assert scan() == 1
