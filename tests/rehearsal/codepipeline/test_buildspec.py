"""Build specifications run as in CodeBuild."""

import subprocess
from pathlib import Path

import pytest

from rehearsal.codepipeline.buildspec import BuildSpec, BuildSpecError


def run(text: str, folder: Path) -> tuple[int, str, dict[str, str]]:
    """Run a specification; return its exit status, output and exported variables."""
    spec = BuildSpec.load(text, folder)
    exports = folder / "exports"
    script = folder / "script"
    script.write_text(spec.script(exports))
    result = subprocess.run([*spec.interpreter(), str(script)], cwd=folder, capture_output=True, text=True, check=False)
    parts = exports.read_text().split("\0")[:-1]
    return result.returncode, result.stdout + result.stderr, dict(zip(parts[::2], parts[1::2], strict=True))


def spec(**phases: list[str]) -> str:
    lines = ["version: 0.2", "env:", "  exported-variables: [RESULT]", "phases:"]
    for name, commands in phases.items():
        lines += [f"  {name}:", "    commands:", *(f"      - {command!r}" for command in commands)]
    return "\n".join(lines)


def test_shell_state_carries_over(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    text = spec(install=["cd inner", "export RESULT=one"], build=['export RESULT="$RESULT two $(basename $PWD)"'])
    status, _, exports = run(text, tmp_path)
    assert (status, exports) == (0, {"RESULT": "one two inner"})


def test_the_first_failing_command_ends_the_build(tmp_path: Path) -> None:
    status, output, _ = run(spec(build=["echo before", "(exit 3)", "echo after"]), tmp_path)
    assert status == 3
    assert "before" in output
    assert "\nafter" not in output
    assert "Command did not exit successfully: (exit 3) (exit status 3)" in output


@pytest.mark.parametrize("phase", ["install", "pre_build"])
def test_no_phase_runs_after_a_failed_one(phase: str, tmp_path: Path) -> None:
    status, output, _ = run(spec(**{phase: ["false"], "build": ["echo built"]}), tmp_path)
    assert status == 1
    assert "\nbuilt" not in output


def test_variables_are_exported_when_a_command_exits(tmp_path: Path) -> None:
    status, _, exports = run(spec(build=["export RESULT=kept", "exit 7"]), tmp_path)
    assert (status, exports) == (7, {"RESULT": "kept"})


def test_the_specification_may_be_a_file_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text("version: 0.2\nphases: {build: {commands: echo from-file}}")
    assert "from-file" in run("ci.yml", tmp_path)[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.yml", "missing.yml is not in the input artifact"),
        ("version: 0.1\nphases: {}", "not a build specification of version 0.2"),
        ("version: 0.2\nphases: {build: {commands: {a: 1}}}", "expected a string or a list"),
        ("version: 0.2\n\tphases:", "not valid YAML"),
        ("version: 0.2\nphases: {post_build: {commands: date}}", "`post_build` in phases is not supported"),
        ("version: 0.2\nartifacts: {files: '*.txt'}", "use \\*\\*/\\*"),
    ],
    ids=["missing", "version", "commands", "YAML", "phase", "files"],
)
def test_an_invalid_specification_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BuildSpecError, match=message):
        BuildSpec.load(text, tmp_path)
