"""Dependencies are audited (or reported as not audited), licensed for shipping, and listed in full."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.gates import create_only, dependencies, licences, sbom
from pipeline.gates.advisories import UnreachableError
from pipeline.gates.dependencies import Audit, AuditedPackage
from pipeline.gates.findings import GateError
from pipeline.gates.requirements import SERVICE, LockedPackage, read_requirements
from tests.pipeline.model import PROJECT

HASH = "0" * 64
CODEBUILD = {"CODEBUILD_BUILD_ID": "project-synth-main:1"}
REHEARSAL = {**CODEBUILD, "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text(
        f"one==1.0 \\\n    --hash=sha256:{HASH}\n# a comment\n\n"
        f"two[extra]==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{'1' * 64}\n"
    )
    return tmp_path


def service(*vulnerable: str, missing: Sequence[str] = (), unknown: Sequence[str] = ()) -> Audit:
    """A fake advisory service."""

    def audit(packages: Sequence[LockedPackage]) -> list[AuditedPackage]:
        audited: list[AuditedPackage] = []
        for one in packages:
            if one.name in unknown:
                audited.append({"name": one.name, "skip_reason": "not found"})
            elif one.name not in missing:
                found = [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3.0"]}]
                vulnerabilities = found if one.name in vulnerable else []
                audited.append({"name": one.name, "version": one.version, "vulns": vulnerabilities})
        return audited

    return audit


def run_gate(
    folder: Path, audit: Audit, environ: Mapping[str, str] = CODEBUILD, accepted: Mapping[str, Any] | None = None
) -> int:
    acceptances = folder / "accepted.json"
    acceptances.write_text(json.dumps(accepted or {}))
    return dependencies.check([folder / "requirements.txt"], audit=audit, environ=environ, accepted=acceptances)


def test_packages_without_known_vulnerabilities_pass(folder: Path) -> None:
    assert run_gate(folder, service()) == 0


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_known_vulnerability_fails(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run_gate(folder, service(name)) == 1
    assert "PYSEC-1: known vulnerability, fixed in 3.0" in capsys.readouterr().err


def test_an_accepted_vulnerability_passes_until_its_last_day(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    today = dt.datetime.now(dt.UTC).date()
    accepted = {"CVE-1": {"reason": "not reachable", "until": today.isoformat()}}
    assert run_gate(folder, service("one"), accepted=accepted) == 0
    accepted["CVE-1"]["until"] = (today - dt.timedelta(days=1)).isoformat()
    assert run_gate(folder, service("one"), accepted=accepted) == 1
    assert "its acceptance has expired" in capsys.readouterr().err


@pytest.mark.parametrize("audit", [service(unknown=["two"]), service(missing=["two"])], ids=["unknown", "missing"])
def test_a_package_that_was_not_audited_fails(folder: Path, audit: Audit) -> None:
    assert run_gate(folder, audit) == 1


def test_a_useless_service_fails_in_aws_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing_known = service(unknown=["one", "two"])
    assert run_gate(folder, nothing_known, CODEBUILD) == 1
    for environ in (REHEARSAL, {**CODEBUILD, "AWS_ENDPOINT_URL": "http://localhost:4566"}, {}):
        assert run_gate(folder, nothing_known, environ) == 0
        assert "NOT CHECKED" in capsys.readouterr().out
    assert run_gate(folder, nothing_known, {**CODEBUILD, "AWS_ENDPOINT_URL": "https://proxy.example"}) == 1


def test_no_requirements_are_a_failure(folder: Path) -> None:
    (folder / "requirements.txt").write_text("")
    assert run_gate(folder, service()) == 1
    (folder / "requirements.txt").unlink()
    assert run_gate(folder, service()) == 1


def test_the_output_of_pip_audit_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout='{"dependencies": [{"name": "one", "vulns": []}]}', stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    packages = read_requirements(folder / "requirements.txt")
    assert dependencies.audit(packages) == [{"name": "one", "vulns": []}]
    assert commands[0][:3] == [sys.executable, "-m", "pip_audit"]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="", stderr="no route to host"))
    with pytest.raises(UnreachableError, match="no route to host"):
        dependencies.audit(packages)


def test_requirements_must_be_pinned_and_hashed(folder: Path) -> None:
    one, two = read_requirements(folder / "requirements.txt")
    assert (one.name, one.version, one.hashes, one.applies) == ("one", "1.0", (HASH,), True)
    assert (two.name, len(two.hashes), two.applies) == ("two", 2, sys.platform == "win32")
    for line in (
        "three>=1.0",
        "three==1.0",
        f"three>=1.0 --hash=sha256:{HASH}",
        "three @ https://host.example/three.whl",
    ):
        (folder / "requirements.txt").write_text(line)
        with pytest.raises(GateError, match="three"):
            read_requirements(folder / "requirements.txt")


@pytest.mark.parametrize(
    "expression",
    [
        "MIT",
        "Apache-2.0 OR GPL-3.0-only",
        "GPL-3.0-only OR Apache-2.0",
        "MIT AND (BSD-3-Clause OR GPL-2.0-only)",
        "Apache-2.0 WITH LLVM-exception",
    ],
    ids=["id", "first choice", "second choice", "nested choice", "exception"],
)
def test_an_allowed_choice_is_enough(expression: str) -> None:
    assert licences.is_allowed(expression)


@pytest.mark.parametrize(
    "expression",
    ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR GPL-2.0-only) AND AGPL-3.0-only", "MIT MIT", "MIT AND", ""],
    ids=["id", "both", "nested", "two ids", "incomplete", "empty"],
)
def test_any_other_licence_fails(expression: str) -> None:
    assert not licences.is_allowed(expression)


def package(**fields: object) -> Any:
    return SimpleNamespace(metadata=SimpleNamespace(json=fields))


@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        ({"license_expression": "MIT or Apache-2.0"}, "MIT OR Apache-2.0"),
        ({"classifier": ["License :: OSI Approved :: MIT License", "Topic :: Office"]}, "MIT"),
        ({"license": "Apache License, Version 2.0"}, "Apache-2.0"),
        ({"license": "Copyright (c) all of us. Ask nicely."}, ""),
        ({}, ""),
    ],
    ids=["expression", "classifier", "text", "unreadable", "none"],
)
def test_a_licence_is_read_from_metadata(fields: Mapping[str, Any], expression: str) -> None:
    assert licences.licence_of(package(**fields)) == expression


def test_a_forbidden_licence_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [folder / "requirements.txt"]
    monkeypatch.setattr(licences, "distribution", lambda _: package(license_expression="MIT"))
    assert licences.check(files) == 0
    monkeypatch.setattr(licences, "distribution", lambda _: package(license_expression="AGPL-3.0-only"))
    assert licences.check(files) == 1
    assert "AGPL-3.0-only is not allowed" in capsys.readouterr().err
    monkeypatch.setattr(licences, "EXCEPTIONS", {"one": "a reason"})
    assert licences.check(files) == 0

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(licences, "distribution", missing)
    assert licences.check(files) == 1
    assert licences.check([folder / "missing.txt"]) == 1


def test_the_bill_of_materials_lists_base_image_and_packages(folder: Path) -> None:
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text("FROM --platform=linux/amd64 registry.example/library/python:3.13-slim AS base\nFROM base\n")
    assert sbom.check(folder / "requirements.txt", dockerfile, reports=folder) == 0
    document = json.loads((folder / "sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    found = {one["name"]: one for one in document["components"]}
    assert found["registry.example/library/python"]["version"] == "3.13-slim"
    assert found["one"]["purl"] == "pkg:pypi/one@1.0"
    assert len(found["two"]["hashes"]) == 2


def test_the_projects_own_bill_of_materials_is_complete(folder: Path) -> None:
    requirements = PROJECT / SERVICE
    assert sbom.check(requirements, PROJECT / sbom.DOCKERFILE, reports=folder) == 0
    document = json.loads((folder / "sbom.cdx.json").read_text())
    names = {one["name"] for one in document["components"] if one["type"] == "library"}
    assert names == {one.name for one in read_requirements(requirements)}
    assert any(one.get("licenses") for one in document["components"])


def test_an_incomplete_bill_of_materials_fails(folder: Path) -> None:
    dockerfile = folder / "Dockerfile"
    assert sbom.check(folder / "requirements.txt", dockerfile, reports=folder) == 1
    dockerfile.write_text("FROM python\n")
    assert sbom.check(folder / "requirements.txt", dockerfile, reports=folder) == 1
    dockerfile.write_text(f"FROM python@sha256:{'a' * 64}\n")
    assert sbom.check(folder / "requirements.txt", dockerfile, reports=folder) == 0
    (folder / "requirements.txt").write_text("")
    assert sbom.check(folder / "requirements.txt", dockerfile, reports=folder) == 1


def test_a_bill_of_materials_that_breaks_the_schema_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Dockerfile").write_text("FROM python:3.13\n")
    (folder / "requirements.txt").write_text("one==1.0 --hash=sha256:not-a-hash\n")
    assert sbom.check(folder / "requirements.txt", folder / "Dockerfile", reports=folder) == 1
    assert "does not conform to the schema" in capsys.readouterr().err


def test_create_only_properties_are_listed(folder: Path) -> None:
    template = {
        "Resources": {
            "Key": {"Type": "AWS::KMS::Key"},
            "Db": {"Type": "AWS::RDS::DBCluster"},
            "No": {"Type": "AWS::No::Such"},
        }
    }
    (folder / "one.template.json").write_text(json.dumps(template))
    create_only.main(str(folder), str(folder / "create-only.json"))
    rules = json.loads((folder / "create-only.json").read_text())
    assert "/properties/DBClusterIdentifier" in rules["AWS::RDS::DBCluster"]["createOnly"]
    assert "/properties/MasterUsername" in rules["AWS::RDS::DBCluster"]["conditional"]
    assert "AWS::No::Such" not in rules
    with pytest.raises(SystemExit, match="no template"):
        create_only.main(str(folder / "nowhere"), str(folder / "create-only.json"))
