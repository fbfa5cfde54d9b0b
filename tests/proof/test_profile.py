"""The seed that a failed attack prints is that of the process that made it, and in the short profile the commit's."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
_ATTACK = """
import os

def test_attack():
    assert not os.environ["SEED"], "seed " + os.environ["SEED"]
"""


def _seed(**environment: str) -> str:
    """Return the seed that a process chooses."""
    command = [sys.executable, "-c", "from tests.proof.profile import profile; print(profile().seed)"]
    given = {name: value for name, value in os.environ.items() if name not in {"SEED", "MINUTES"}}
    return subprocess.check_output(command, cwd=PROJECT, env={**given, **environment}, text=True)


def test_a_commit_is_attacked_alike_wherever_it_is_tested() -> None:
    assert _seed() == _seed()


def test_long_attacks_differ() -> None:
    assert _seed(MINUTES="1") != _seed(MINUTES="1")


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
