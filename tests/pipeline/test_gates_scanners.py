"""checkov finds planted violations in templates, policies and the Dockerfile, unless they are acknowledged."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.findings import BOOTSTRAP_FINDINGS, METADATA_TYPE
from pipeline.gates import scanners, static, templates
from tests.pipeline.model import PROJECT

# checkov runs here, in an environment of its own, which is created once.
pytestmark = [pytest.mark.rehearsal, pytest.mark.xdist_group("scanners")]

FUNCTION = "PipelineStack/Dev/Function"
SOUND: Mapping[str, object] = {"Type": "AWS::SNS::Topic", "Properties": {"KmsMasterKeyId": "alias/key"}}
OPEN_BUCKET: Mapping[str, object] = {"Type": "AWS::S3::Bucket", "Metadata": {"aws:cdk:path": f"{FUNCTION}/Resource"}}
EVERYTHING: Mapping[str, object] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["iam:CreateAccessKey", "s3:GetObject"], "Resource": "*"}],
}


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter of checkov's environment, installed as by `make scanners`."""
    home = PROJECT / ".run" / "cache" / "scanners"
    uv, interpreter = Path(sys.executable).with_name("uv"), home / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, home], check=True)
    locked = PROJECT / "pipeline" / "gates" / "scanners.txt"
    options = ["--quiet", "--compile-bytecode", "--python", str(interpreter), "--require-hashes"]
    subprocess.run([str(uv), "pip", "sync", *options, str(locked)], check=True)
    return str(interpreter)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one sound template, the bootstrap's policies and a sound Dockerfile."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service").mkdir()
    shutil.copy(PROJECT / "service" / "Dockerfile", tmp_path / "service")
    (tmp_path / "assembly").mkdir()
    write(tmp_path, Topic=SOUND)
    templates.add_bootstrap_policies(tmp_path / "assembly")
    return tmp_path


def write(folder: Path, **resources: Mapping[str, object]) -> None:
    (folder / "assembly" / "stack.template.json").write_text(json.dumps({"Resources": resources}))


def acknowledge(folder: Path, path: str, *rules: str) -> None:
    entries = [{"type": METADATA_TYPE, "data": dict.fromkeys(rules, "for a test")}]
    (folder / "assembly" / "stack.metadata.json").write_text(json.dumps({f"/{path}": entries}))


def run(folder: Path, python: str) -> int:
    return scanners.check(python, folder / "assembly", folder / "service")


def test_sound_templates_policies_and_dockerfile_pass(
    folder: Path, python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, python) == 0, capsys.readouterr().err
    assert "scanners: 3 files checked, 0 findings" in capsys.readouterr().out
    assert (folder / ".run" / "reports" / "scanners.xml").exists()


def test_violations_are_found_wherever_they_are_planted(
    folder: Path, python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, Bucket=OPEN_BUCKET)
    (folder / "service" / "Dockerfile").write_text("FROM python:latest\nADD http://example.com/a /a\nEXPOSE 22\n")
    policies = folder / "policies"
    policies.mkdir()
    (policies / "execution-policy-9.json").write_text(json.dumps(EVERYTHING))
    templates.add_bootstrap_policies(folder / "assembly", policies)

    assert run(folder, python) == 1

    errors = capsys.readouterr().err
    assert f"{FUNCTION}/Resource: CKV_AWS_18: " in errors
    assert "CKV_DOCKER_1: " in errors
    assert "bootstrap/execution-policy-9: CKV_AWS_107: " in errors


def test_an_acknowledgement_covers_its_construct_and_rule_only(
    folder: Path, python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = f"{FUNCTION}2"
    write(folder, Bucket=OPEN_BUCKET, Another={**OPEN_BUCKET, "Metadata": {"aws:cdk:path": f"{longer}/Resource"}})
    acknowledge(folder, FUNCTION, "CKV_AWS_18", "CKV_AWS_1")
    run(folder, python)
    errors = capsys.readouterr().err
    assert f"{FUNCTION}/Resource: CKV_AWS_18" not in errors
    assert f"{FUNCTION}/Resource: CKV_AWS_53" in errors
    assert f"{longer}/Resource: CKV_AWS_18" in errors
    assert f"{FUNCTION}: CKV_AWS_1: acknowledged but not found" in errors


def test_files_that_were_not_scanned_fail(folder: Path, python: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "assembly" / "broken.template.json").write_text('{"Resources": {')
    (folder / "service" / "Dockerfile").unlink()
    assert run(folder, python) == 1
    errors = capsys.readouterr().err
    assert "broken.template.json: not-scanned" in errors
    assert "Dockerfile: not-scanned" in errors


def test_without_templates_or_scanner_it_fails(folder: Path, python: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "assembly")
    assert run(folder, python) == 1
    assert scanners.check(str(folder / "none"), folder / "assembly", folder / "service") == 1
    assert "make scanners" in capsys.readouterr().err
    assert scanners.check(sys.executable, folder / "assembly", folder / "service") == 1
    assert "checkov broke" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="cannot take the network away")
def test_the_scan_needs_no_network(folder: Path, python: str) -> None:
    """checkov calls its vendor by default: here it runs in an empty network namespace."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec unshare --net {python} "$@"\n')
    script.chmod(0o755)
    assert run(folder, str(script)) == 0


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ({"Action": "s3:DeleteBucketCors", "Resource": "*"}, "W3037"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:lambda:*:*:function:f"}, "I3510"),
    ],
    ids=["unknown", "inapplicable"],
)
def test_an_unknown_or_inapplicable_action_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], statement: Mapping[str, object], rule: str
) -> None:
    policies = folder / "policies"
    policies.mkdir()
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    (policies / "execution-policy-9.json").write_text(json.dumps(document))
    templates.add_bootstrap_policies(folder / "assembly", policies)

    assert static.check("cfn-lint", folder=str(folder / "assembly")) == 1
    assert f": {rule}: " in capsys.readouterr().err


def test_bootstrap_acknowledgements_have_reasons() -> None:
    assert all(len(reason) >= 40 for reason in BOOTSTRAP_FINDINGS.values())
