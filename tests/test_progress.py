"""What pytest prints outside a terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
_TESTS = """
import os
from pathlib import Path

import pytest

from tests.waiting import wait_until

@pytest.mark.parametrize("number", range(5))
def test_passes(number: int) -> None:
    pass

def test_fails() -> None:
    output = Path(os.environ["OUTPUT"])
    wait_until(lambda: "5 of 6 tests, 0 failed" in output.read_text(), "what was told to be in the file", timeout=20)
    assert 1 == 2
"""
_CONFTEST = """
from tests.progress import ProgressLines

def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(ProgressLines(session, interval=0))
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_progress_is_lines_of_counts_and_each_failure_at_once(tmp_path: Path, workers: str) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "test_them.py").write_text(_TESTS)
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", "-n", workers]
    output = tmp_path / "output"
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "OUTPUT": str(output),
    }
    with output.open("w") as file:
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=file, check=False)
    assert done.returncode == 1
    lines = output.read_text().splitlines()
    assert "5 of 6 tests, 0 failed" in lines
    assert "6 of 6 tests, 1 failed" in lines
    assert lines.index("FAILED test_them.py::test_fails") < lines.index("6 of 6 tests, 1 failed"), (
        "before the summary, which adds why"
    )
    assert "E       assert 1 == 2" in lines
    assert "FAILED test_them.py::test_fails - assert 1 == 2" in lines
    assert lines[-1].startswith("1 failed, 5 passed")
