"""The seed that a failed attack prints is that of the process that made it, and in the short profile the commit's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
_ATTACK = """
import os

def test_attack():
    assert not os.environ["SEED"], "seed " + os.environ["SEED"]
"""


def _seed(project: Path, **environment: str) -> str:
    """Return the seed that a process chooses."""
    command = [sys.executable, "-c", "from tests.proof.profile import profile; print(profile().seed)"]
    given = {name: value for name, value in os.environ.items() if name not in {"SEED", "MINUTES"}}
    return subprocess.check_output(command, cwd=project, env={**given, **environment}, text=True)


def _commit(project: Path) -> None:
    author = ("-c", "user.name=A", "-c", "user.email=a@shop.example")
    subprocess.run(["git", *author, "commit", "--quiet", "--allow-empty", "--message=m"], cwd=project, check=True)


def test_the_short_profiles_seed_is_the_commits(tmp_path: Path) -> None:
    (tmp_path / "tests" / "proof").mkdir(parents=True)
    shutil.copy(PROJECT / "tests" / "proof" / "profile.py", tmp_path / "tests" / "proof")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    _commit(tmp_path)
    first = _seed(tmp_path)
    assert _seed(tmp_path) == first
    _commit(tmp_path)
    assert _seed(tmp_path) != first


def test_long_attacks_differ() -> None:
    assert _seed(PROJECT, MINUTES="1") != _seed(PROJECT, MINUTES="1")


def test_all_processes_of_a_run_share_the_printed_seed(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "proof"
    folder.mkdir(parents=True)
    (folder / "test_attack.py").write_text(_ATTACK)
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure, pytest_terminal_summary\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'service'}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    environment.pop("SEED", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", "-n", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    printed = done.stdout.rpartition("SEED=")[2].split(" ")[0]
    assert printed.isdecimal(), done.stdout + done.stderr
    assert f"AssertionError: seed {printed}" in done.stdout
