"""`make gates` runs every gate that is not proven, whatever fails, and tells at the end what has failed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.pipeline.model import PROJECT

#: What `setup` would install, as files that are complete and newer than what they depend on.
_INSTALLED = (
    "requirements-dev.txt", "package.json", "package-lock.json",
    ".venv/.uv", ".venv/.complete", "node_modules/.complete",
)  # fmt: skip
_RECIPES = """
bad worse: ; @echo finding-of-$@; exit 3
good: ; @touch good.xml
after: bad ; @touch after.xml
"""


#: Stands in for the Python of the virtual environment: the gate `sast` only fails where `broken` exists.
_PYTHON = f"""#!/bin/sh
case "$*" in *"static sast")
  echo sast-runs; mkdir -p .run/reports; touch .run/reports/sast.xml; test ! -e .git/broken; exit ;;
esac
exec {sys.executable} "$@"
"""


def run(folder: Path, gates: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make gates` of this checkout with other gates."""
    makefile, replaced = re.subn(r"^GATES := .*", f"GATES := {gates}", (PROJECT / "Makefile").read_text(), flags=re.M)
    assert replaced == 1
    (folder / "Makefile").write_text(makefile + _RECIPES)
    for name in _INSTALLED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / ".venv" / "bin").mkdir(exist_ok=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    # As from a shell: a make that runs these tests passes its own flags and level on.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PROVE"}
    } | {"PYTHONPATH": str(PROJECT), **variables}
    return subprocess.run(
        ["make", "gates"], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_failing_gate_stops_no_other_and_all_failures_are_told_last(tmp_path: Path) -> None:
    result = run(tmp_path, "bad after worse good")
    assert result.returncode != 0
    assert (tmp_path / "good.xml").exists()
    assert not (tmp_path / "after.xml").exists()
    _, told, last = result.stderr.partition("Gates have failed:\n")
    assert told
    assert re.findall(r"\[Makefile:\d+: (\w+)\]", last)[:2] in (["bad", "worse"], ["worse", "bad"])
    assert "'after'" in last, "a gate that could not run has not passed"
    assert {"finding-of-bad", "finding-of-worse"} <= set(result.stdout.split())


def test_gates_that_pass_say_nothing_of_failures(tmp_path: Path) -> None:
    result = run(tmp_path, "good")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_gate_runs_once_unless_it_failed_or_somebody_asks(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/.run/\n/.venv/\n/node_modules/\n")
    broken = tmp_path / ".git" / "broken"
    broken.touch()
    assert run(tmp_path, "sast good").returncode != 0
    broken.unlink()
    after_failure, again = (run(tmp_path, "sast good") for _ in range(2))
    assert "sast-runs" in after_failure.stdout, "what failed is not proven"
    assert "sast-runs" not in again.stdout
    assert again.stderr.startswith("sast: passed at ")
    broken.touch()
    assert run(tmp_path, "sast good", PROVE="again").returncode != 0
    assert run(tmp_path, "sast good").returncode != 0, "what fails when repeated is no longer proven"
