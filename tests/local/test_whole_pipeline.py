"""This very commit goes through its own pipeline to prod and is destroyed again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.conftest import PROJECT, left_running

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of HEAD with only one gate and without CDK's validation, since `make test` runs them all."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(PROJECT), str(folder))
    for tools in (".venv", "node_modules"):
        (folder / tools).symlink_to(PROJECT / tools)
    (folder / ".run").mkdir()
    (folder / ".run" / "cache").symlink_to(PROJECT / ".run" / "cache")
    makefile = folder / "Makefile"
    lines = makefile.read_text().splitlines(keepends=True)
    gates = next(number for number, line in enumerate(lines) if line.startswith("GATES :="))
    lines[gates] = "GATES := ruff\nexport CDK_VALIDATION := false\n"
    makefile.write_text("".join(lines))
    git(folder, "commit", "--quiet", "--all", "--message", "Trim the gates")
    return folder


def test_a_commit_that_adds_an_environment_reaches_prod(clone: Path) -> None:
    settings = (clone / "cdk.json").read_text()
    before = json.loads(settings)
    del before["context"]["environments"]["dev"]
    (clone / "cdk.json").write_text(json.dumps(before, indent=2))
    git(clone, "commit", "--quiet", "--all", "--message", "Begin with prod")
    deployed = git(clone, "rev-parse", "HEAD")
    (clone / "cdk.json").write_text(settings)
    git(clone, "commit", "--quiet", "--all", "--message", "Add an environment")

    result = subprocess.run(
        [sys.executable, "-m", "rehearsal"],
        cwd=clone,
        env={**os.environ, "APPROVE": "auto", "REHEARSE_PORT": "0", "DEPLOYED": deployed},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "everything was destroyed, nothing is left" in result.stdout
    timeline = json.loads((clone / ".run" / "rehearsal.json").read_text())
    assert timeline["outcome"] == "succeeded"
    assert sorted(timeline["endpoints"]) == [f"payment-service-{name}" for name in ("dev", "prod")]
    executed = [(entry["stage"], entry["action"], entry["status"]) for entry in timeline["actions"]]
    assert [status for _, action, status in executed if action == "SelfMutate"] == ["Succeeded", "Succeeded"]
    for stage in ("Dev", "Prod"):
        assert (stage, f"Smoke{stage}", "Succeeded") in executed
    assert left_running(clone) == []
    assert "the deployed policies decided" in result.stdout
    assert_permissions_are_exact(clone)
    for stage in ("Dev", "Prod"):
        smoke = (clone / ".run" / "rehearsal" / "logs" / f"{stage}.Smoke{stage}.log").read_text()
        assert "passed  An attack never reaches the API" in smoke


def assert_permissions_are_exact(clone: Path) -> None:
    """Every call was allowed, and every permission is needed by a call or has a recorded reason."""
    rehearsed = clone / ".run" / "rehearsal"
    decisions = json.loads((rehearsed / "decisions.json").read_text())
    assert [entry["reason"] for entry in decisions["decisions"] if not entry["allowed"]] == []
    assert decisions["undecided"] == {}
    mutants = subprocess.run(
        [sys.executable, "-m", "rehearsal.permissions.mutants", "tests/local/unexercised_permissions.json"],
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert mutants.returncode == 0, mutants.stdout + mutants.stderr
