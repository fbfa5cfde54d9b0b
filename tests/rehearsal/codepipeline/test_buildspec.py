"""A build specification runs here as CodeBuild runs it."""

import subprocess
from pathlib import Path

import pytest

from rehearsal.codepipeline.buildspec import BuildSpec, BuildSpecError


def run(text: str, folder: Path) -> tuple[int, str, dict[str, str]]:
    """Run a specification; its exit status, output and exported variables."""
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


def test_state_carries_over_from_command_to_command_and_phase_to_phase(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    text = spec(install=["cd inner", "export RESULT=one"], build=['export RESULT="$RESULT two $(basename $PWD)"'])
    assert run(text, tmp_path) == (0, run(text, tmp_path)[1], {"RESULT": "one two inner"})


def test_the_first_failing_command_ends_its_phase_and_is_named(tmp_path: Path) -> None:
    status, output, _ = run(spec(build=["echo before", "(exit 3)", "echo after"]), tmp_path)
    assert status == 3
    assert "before" in output
    assert "\nafter" not in output
    assert "Command did not exit successfully: (exit 3) (exit status 3)" in output


def test_post_build_runs_after_a_failed_build_and_the_build_still_fails(tmp_path: Path) -> None:
    status, output, _ = run(
        spec(build=["false"], post_build=['echo "succeeding=$CODEBUILD_BUILD_SUCCEEDING"']), tmp_path
    )
    assert status == 1
    assert "succeeding=0" in output


@pytest.mark.parametrize("phase", ["install", "pre_build"])
def test_nothing_runs_after_a_failed_install_or_pre_build(phase: str, tmp_path: Path) -> None:
    status, output, _ = run(spec(**{phase: ["false"], "build": ["echo built"], "post_build": ["echo post"]}), tmp_path)
    assert status == 1
    assert "\nbuilt" not in output
    assert "\npost" not in output


def test_exported_variables_survive_an_exit_in_the_middle(tmp_path: Path) -> None:
    status, _, exports = run(spec(build=["export RESULT=kept", "exit 7"]), tmp_path)
    assert (status, exports) == (7, {"RESULT": "kept"})


def test_finally_runs_whatever_happened_before(tmp_path: Path) -> None:
    text = "version: 0.2\nphases: {build: {commands: ['false'], finally: ['echo cleaned']}}"
    status, output, _ = run(text, tmp_path)
    assert status == 1
    assert "\ncleaned" in output


def test_a_file_of_the_source_may_hold_the_specification(tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text("version: 0.2\nphases: {build: {commands: echo from-file}}")
    assert "from-file" in run("ci.yml", tmp_path)[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.yml", "missing.yml is not in the input artifact"),
        ("version: 0.1\nphases: {}", "not a build specification of version 0.2"),
        ("version: 0.2\nphases: {build: {commands: {a: 1}}}", "expected a string or a list"),
        ("version: 0.2\n\tphases:", "not valid YAML"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BuildSpecError, match=message):
        BuildSpec.load(text, tmp_path)
