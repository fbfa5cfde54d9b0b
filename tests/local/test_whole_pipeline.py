"""The main job: this very commit goes through its own pipeline to prod, and nothing of it is left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.conftest import PROJECT
from tests.rehearsal.test_interruption import left_running

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of HEAD with one gate: `make test` has just run all of them on this tree."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(PROJECT), str(folder))
    for tools in (".venv", "node_modules"):
        (folder / tools).symlink_to(PROJECT / tools)
    (folder / ".run").mkdir()
    (folder / ".run" / "cache").symlink_to(PROJECT / ".run" / "cache")
    makefile = folder / "Makefile"
    lines = makefile.read_text().splitlines(keepends=True)
    gates = next(number for number, line in enumerate(lines) if line.startswith("gates:"))
    lines[gates] = "gates: ruff\n"
    makefile.write_text("".join(lines))
    git(folder, "commit", "--quiet", "--all", "--message", "Trim the gates")
    return folder


def test_a_commit_that_adds_an_environment_goes_through_the_whole_pipeline_to_prod(clone: Path) -> None:
    deployed = git(clone, "rev-parse", "HEAD")
    settings = json.loads((clone / "cdk.json").read_text())
    environments = settings["context"]["environments"]
    settings["context"]["environments"] = {"dev": environments["dev"], "staging": {}, "prod": environments["prod"]}
    (clone / "cdk.json").write_text(json.dumps(settings, indent=2))
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
    assert sorted(timeline["endpoints"]) == [f"payment-service-{name}" for name in ("dev", "prod", "staging")]
    walked = [(entry["stage"], entry["action"], entry["status"]) for entry in timeline["actions"]]
    assert [status for _, action, status in walked if action == "SelfMutate"] == ["Succeeded", "Succeeded"]
    for stage in ("Dev", "Staging", "Prod"):
        assert (stage, f"Smoke{stage}", "Succeeded") in walked
    assert left_running(clone) == []
    assert_policies_decided(clone, result.stdout)


def assert_policies_decided(clone: Path, said: str) -> None:
    """Every call was allowed, and no permission is there that neither a call nor a written reason needs."""
    rehearsed = clone / ".run" / "rehearsal"
    decided = json.loads((rehearsed / "decisions.json").read_text())
    assert [entry["reason"] for entry in decided["decisions"] if not entry["allowed"]] == []
    assert decided["undecided"] == {}
    assert "the deployed policies decided" in said
    mutants = subprocess.run(
        [sys.executable, "-m", "rehearsal.permissions.mutants", "tests/rehearsal/unexercised_permissions.json"],
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert mutants.returncode == 0, mutants.stdout + mutants.stderr
    for stage in ("Dev", "Staging", "Prod"):
        smoke = (rehearsed / "logs" / f"{stage}.Smoke{stage}.log").read_text()
        assert "passed  An attack never reaches the API" in smoke
