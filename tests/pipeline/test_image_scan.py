"""The image gate: a critical finding stops the pipeline, and so does a scan that nobody can show."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.jobs import image_scan
from tests.pipeline.model import PRODUCTION, TOOLING


class Registry:
    """A registry that scans, or does not."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.error = ""
        self.statuses = ["IN_PROGRESS", "COMPLETE"]
        self.findings: list[Mapping[str, Any]] = []
        self.enhanced: list[Mapping[str, Any]] = []
        self.missing = False

    def start_image_scan(self, **asked: Any) -> None:
        if self.error:
            raise ClientError({"Error": {"Code": self.error, "Message": "refused"}}, "StartImageScan")
        self.started.append(asked["imageId"]["imageTag"])

    def get_paginator(self, name: str) -> Any:
        assert name == "describe_image_scan_findings"
        return SimpleNamespace(paginate=self.paginate)

    def paginate(self, **_: Any) -> list[Any]:
        if self.missing:
            raise ClientError({"Error": {"Code": "ScanNotFoundException", "Message": "none"}}, "Describe")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        found = {"findings": self.findings, "enhancedFindings": self.enhanced}
        return [{"imageScanStatus": {"status": status}, "imageScanFindings": found}]

    def assume_role(self, **asked: Any) -> Any:
        assert asked["RoleArn"].startswith(f"arn:aws:iam::{PRODUCTION}:role/cdk-hnb659fds-lookup-role-")
        return {"Credentials": {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry()
    monkeypatch.setattr(boto3, "client", lambda *_, **__: made)
    monkeypatch.setattr(image_scan.time, "sleep", lambda _: None)  # type: ignore[attr-defined]
    return made


@pytest.fixture
def scan(tmp_path: Path, registry: Registry) -> Callable[..., int]:
    """Run the gate over an assembly that publishes one image to each account."""

    def scan(*accounts: str, accepted: Mapping[str, Any] | None = None) -> int:
        destinations = {
            account: {
                "repositoryName": f"assets-{account}",
                "imageTag": "0123456789abcdef",
                "region": "us-east-1",
                "assumeRoleArn": f"arn:${{AWS::Partition}}:iam::{account}:role/publish",
            }
            for account in accounts
        }
        manifest = {"dockerImages": {"image": {"destinations": destinations}}}
        for name in ("one", "two"):  # the same image of two stacks is one image
            (tmp_path / f"{name}.assets.json").write_text(json.dumps(manifest))
        (tmp_path / "accepted.json").write_text(json.dumps(accepted or {}))
        return image_scan.main(
            ["--assembly", str(tmp_path), "--account", TOOLING, "--accepted", str(tmp_path / "accepted.json")]
        )

    return scan


def test_a_sound_image_passes_after_its_scan_has_ended(scan: Callable[..., int], registry: Registry) -> None:
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
)
def test_a_critical_finding_stops(
    scan: Callable[..., int], registry: Registry, finding: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (registry.enhanced if "name" not in finding else registry.findings).append(finding)
    assert scan(TOOLING) == 1
    assert "CVE-1" in capsys.readouterr().err


def test_an_accepted_finding_passes_until_its_last_day(scan: Callable[..., int], registry: Registry) -> None:
    registry.findings = [{"name": "CVE-1", "severity": "CRITICAL"}]
    assert scan(TOOLING, accepted={"CVE-1": {"until": "9999-12-31", "reason": "not reachable"}}) == 0
    assert scan(TOOLING, accepted={"CVE-1": {"until": "2000-01-01", "reason": "not reachable"}}) == 1


def test_todays_scan_is_read_when_no_second_one_is_allowed(scan: Callable[..., int], registry: Registry) -> None:
    registry.error = "LimitExceededException"
    assert scan(TOOLING) == 0


@pytest.mark.parametrize("error", ["AccessDeniedException", "ImageNotFoundException", "InvalidAction"])
def test_a_scan_that_cannot_be_started_stops_wherever_this_runs(
    scan: Callable[..., int], registry: Registry, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    registry.error = error
    assert scan(TOOLING) == 1


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_a_scan_that_failed_stops(
    scan: Callable[..., int], registry: Registry, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.statuses = [status]
    assert scan(TOOLING) == 1
    assert status in capsys.readouterr().err


def test_a_scan_that_does_not_end_stops(
    scan: Callable[..., int], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.statuses = ["PENDING"]
    monkeypatch.setattr(image_scan, "_DEADLINE", -1.0)
    assert scan(TOOLING) == 1


def test_another_accounts_scan_is_read_but_not_started(scan: Callable[..., int], registry: Registry) -> None:
    assert scan(PRODUCTION) == 0
    assert registry.started == []


def test_a_missing_scan_of_another_account_stops_and_says_what_to_do(
    scan: Callable[..., int], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.missing = True
    assert scan(TOOLING, PRODUCTION) == 1
    assert "Have its registry scan on push" in capsys.readouterr().err


def test_an_assembly_without_images_stops(scan: Callable[..., int], registry: Registry) -> None:
    assert scan() == 1
