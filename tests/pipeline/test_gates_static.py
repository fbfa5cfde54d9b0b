"""Each static gate passes on sound code and fails on a planted violation, on a broken tool, and without any files."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from junitparser import JUnitXml, TestSuite

from pipeline.builds import GATES
from pipeline.gates import static, templates
from pipeline.gates.findings import Finding, GateError, GateResult, fail
from tests.pipeline.model import PROJECT

pytestmark = pytest.mark.rehearsal  # whole tools run here, some for half a minute

SOUND_TEMPLATE: Mapping[str, object] = {
    "Resources": {"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": []}}}}
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, in which the tools of the environment are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in static.SHIPPED:
        if name.endswith(".py"):
            (tmp_path / name).write_text('"""Sound."""\n')
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "module.py").write_text('"""Sound."""\n')
    (tmp_path / "service" / "Dockerfile").write_text('FROM python:3.13-slim\nUSER 1000\nCMD ["python"]\n')
    (tmp_path / "cdk.out").mkdir()
    (tmp_path / "cdk.out" / "stack.template.json").write_text(json.dumps(SOUND_TEMPLATE))
    return tmp_path


def report_of(folder: Path, gate: str) -> TestSuite:
    (suite,) = JUnitXml.fromfile(str(folder / f"{gate}.xml"))
    assert isinstance(suite, TestSuite)
    return suite


@pytest.mark.parametrize(
    ("gate", "file", "violation", "rule"),
    [
        ("ruff", "pipeline/module.py", "import os\n", "F401"),
        ("sast", "stages/module.py", "import hashlib\nhashlib.md5(b'password')\n", "B324"),
        ("sast", "stages/module.py", "def broken(:\n", "not-read"),
        ("hadolint", "service/Dockerfile", "FROM python\nRUN sudo true\n", "DL3006"),
        (
            "cfn-lint",
            "cdk.out/stack.template.json",
            '{"Resources": {"Key": {"Type": "AWS::KMS::Key", "Properties": {"NoSuchProperty": 1}}}}',
            "E3002",
        ),
    ],
    ids=["ruff", "sast", "sast-unreadable", "hadolint", "cfn-lint"],
)
def test_a_planted_violation_fails_its_gate(
    folder: Path, capsys: pytest.CaptureFixture[str], gate: str, file: str, violation: str, rule: str
) -> None:
    assert static.main([gate]) == 0, capsys.readouterr().err
    (folder / file).write_text(violation)
    assert static.main([gate]) == 1
    found = capsys.readouterr().err
    assert rule in found
    assert Path(file).name in found
    assert report_of(folder / ".run" / "reports", gate).failures >= 1


def test_a_type_error_fails_its_gate(folder: Path) -> None:
    """mypy is not run by a gate module: here the command of its make target fails."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "--junit-xml", "mypy.xml", "app.py"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (folder / "app.py").write_text('"""Sound."""\nnumber: int = "text"\n')
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert "failure" in (folder / "mypy.xml").read_text()


def test_a_gate_with_nothing_to_check_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cdk.out" / "stack.template.json").unlink()
    assert static.main(["cfn-lint"]) == 1
    assert "nothing" in capsys.readouterr().err


def test_a_gate_checks_the_folder_that_it_is_given(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stack.template.json").write_text('{"Resources": 1}')
    assert static.main(["cfn-lint", str(elsewhere)]) == 1  # not the sound one in cdk.out


@pytest.mark.parametrize(
    ("script", "message"),
    [("exit 2", "broke"), ("echo no JSON; exit 1", "did not print JSON")],
    ids=["exit status", "no JSON"],
)
def test_a_broken_tool_is_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str, message: str
) -> None:
    tool = folder / "bin" / "ruff"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    assert static.main(["ruff"]) == 1
    assert message in capsys.readouterr().err


def test_a_missing_tool_is_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert static.main(["ruff"]) == 1
    assert "make setup" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["no-such-gate"]])
def test_the_usage_names_the_gates(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert static.main(arguments) == 2
    assert "cfn-lint" in capsys.readouterr().err


def test_every_gate_is_run_by_make_and_reported() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    (made,) = [line for line in makefile.splitlines() if line.startswith("GATES := ")]
    targets = {"mypy": "types", "cfn-lint": "templates"}
    assert {targets.get(gate, gate) for gate in GATES} <= set(made.split())


def test_findings_are_sorted_and_a_report_is_always_written(tmp_path: Path) -> None:
    findings = [Finding(where="b", rule="r", message="m"), Finding(where="a", rule="r", message="m")]
    assert GateResult(gate="one", checked=2, unit="files", findings=findings).report(tmp_path) == 1
    assert [case.name for case in report_of(tmp_path, "one")] == ["a r", "b r"]
    assert GateResult(gate="two", checked=2, unit="files").report(tmp_path) == 0
    assert (report_of(tmp_path, "two").tests, report_of(tmp_path, "two").failures) == (1, 0)
    assert GateResult(gate="three", checked=0, unit="files", not_checked="unreachable").report(tmp_path) == 0
    assert report_of(tmp_path, "three").skipped == 1
    assert fail("four", GateError("broken"), tmp_path) == 1
    assert report_of(tmp_path, "four").failures == 1


def test_templates_are_synthesized_with_the_pipelines_configuration(tmp_path: Path) -> None:
    file = tmp_path / "cdk.json"
    file.write_text('{"context": {}}')
    assert templates.overrides({"CONTEXT_OVERRIDES": '{"branch": "release"}'}, file) == '{"branch": "release"}'
    assert json.loads(templates.overrides({}, file)) == templates.PLACEHOLDERS
    file.write_text('{"context": {"connection_arn": "arn"}}')
    assert templates.overrides({}, file) == "{}"


def test_a_failed_synthesis_fails_its_gate(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cdk.json").write_text('{"context": {}}')
    cdk = folder / "bin" / "cdk"
    cdk.parent.mkdir()
    cdk.write_text("#!/bin/sh\necho a finding of a rule pack\nexit 1\n")
    cdk.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cdk.parent}{os.pathsep}{os.environ['PATH']}")
    assert templates.check(folder / "assembly", os.environ) == 1
    assert "a finding of a rule pack" in capsys.readouterr().err
    cdk.write_text(f"#!/bin/sh\nmkdir -p $4; cp {folder}/cdk.out/stack.template.json $4/\n")
    assert templates.check(folder / "assembly", os.environ) == 0
