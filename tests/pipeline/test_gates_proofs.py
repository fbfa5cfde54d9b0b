"""A gate that has passed does not run again on the very same source, and on any other it does."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeline.builds import GATES
from pipeline.config import CONTEXT_OVERRIDES
from pipeline.gates.proofs import PROOFS, PROVABLE, REPORTS, digest_source, record, unproven
from tests.pipeline.model import PROJECT

GATE = "unit-tests"
RECORD = PROOFS / f"{GATE}.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose unit tests and templates have just passed."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/.run/\n")
    (tmp_path / "code.py").write_text("RATE = 3\n")
    subprocess.run(["git", "-C", str(tmp_path), "add", "--all"], check=True)
    (tmp_path / REPORTS).mkdir(parents=True)
    for name in PROVABLE[GATE]:
        (tmp_path / REPORTS / name).write_text(f"<{name}/>")
    (tmp_path / REPORTS / "cfn-lint.xml").touch()
    for gate in (GATE, "templates"):
        record(gate, digest_source(tmp_path, {}), tmp_path, {})
    return tmp_path


def runs(folder: Path, environ: Mapping[str, str] = {}, *, gate: str = GATE) -> bool:
    """Whether `make gates` would run the gate."""
    return [*unproven([gate], digest_source(folder, environ), folder, environ)] == [gate]


def test_a_proven_gate_does_not_run_and_says_since_when(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not runs(folder)
    at = json.loads((folder / RECORD).read_text())["at"]
    expected = f"unit-tests: passed at {at} on this very source; `PROVE=again` runs it again\n"
    assert capsys.readouterr().err == expected


def test_its_reports_are_put_back(folder: Path) -> None:
    for name in PROVABLE[GATE]:
        (folder / REPORTS / name).unlink()
    assert not runs(folder)
    for name in PROVABLE[GATE]:
        assert (folder / REPORTS / name).read_text() == f"<{name}/>"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "code.py").write_text("RATE = 4\n"),
        lambda folder: (folder / "code.py").chmod(0o755),
        lambda folder: (folder / "code.py").unlink(),
        lambda folder: (folder / "code.py").rename(folder / "other.py"),
        lambda folder: (folder / "untracked.py").touch(),
        lambda folder: (folder / "link").symlink_to("code.py"),
    ],
    ids=["byte", "mode", "deletion", "name", "untracked-file", "link"],
)
def test_any_change_of_the_source_runs_it_again(folder: Path, change: Callable[[Path], object]) -> None:
    change(folder)
    assert runs(folder)


def test_what_git_ignores_changes_nothing(folder: Path) -> None:
    (folder / ".run" / "log").touch()
    assert not runs(folder)


@pytest.mark.parametrize("name", ["MINUTES", "SEED", "STORIES"])
def test_other_attacks_run_it_again(folder: Path, name: str) -> None:
    assert runs(folder, {name: "1"})


def test_what_is_proven_at_a_desk_counts_in_a_rehearsal(folder: Path) -> None:
    assert not runs(folder, {"CI": "true"})


def test_another_configuration_runs_only_what_reads_it_again(folder: Path) -> None:
    """A rehearsal's configuration is always another one, since the account is."""
    configured = {CONTEXT_OVERRIDES: '{"account": "111111111111"}'}
    assert not runs(folder, gate="templates")
    assert runs(folder, configured, gate="templates")
    assert not runs(folder, configured)


def test_another_python_or_platform_runs_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(sys, "version", "3.13.0")
        assert runs(folder)
    monkeypatch.setattr("platform.platform", lambda: "Linux-6.1-aarch64")
    assert runs(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:-5],
        lambda text: "[]",
        lambda text: json.dumps(json.loads(text) | {"reports": None}),
        lambda text: json.dumps(json.loads(text) | {"reports": {"unit-tests.xml": ""}}),
    ],
    ids=["empty", "cut-off", "other-form", "no-reports", "a-report-missing"],
)
def test_a_spoilt_record_runs_it_again(folder: Path, spoil: Callable[[str], str]) -> None:
    (folder / RECORD).write_text(spoil((folder / RECORD).read_text()))
    assert runs(folder)


def test_a_gate_that_left_no_report_has_proven_nothing(folder: Path) -> None:
    (folder / RECORD).unlink()
    (folder / REPORTS / "coverage.xml").unlink()
    with pytest.raises(FileNotFoundError):
        record(GATE, digest_source(folder, {}), folder, {})
    assert runs(folder)


def test_a_source_that_changed_while_the_gate_ran_is_not_proven(folder: Path) -> None:
    (folder / RECORD).unlink()
    before = digest_source(folder, {})
    text = (folder / "code.py").read_text()
    (folder / "code.py").write_text("RATE = 4\n")
    record(GATE, before, folder, {})
    (folder / "code.py").write_text(text)
    assert runs(folder)


def test_without_a_repository_nothing_is_proven(tmp_path: Path) -> None:
    assert digest_source(tmp_path, {}) == ""
    record(GATE, "", tmp_path, {})
    assert not (tmp_path / PROOFS).exists()
    assert runs(tmp_path)


def test_gates_that_ask_somebody_else_always_run() -> None:
    assert not {"dependencies", "node-dependencies"} & PROVABLE.keys()


def test_the_reports_are_those_that_the_pipeline_shows() -> None:
    shown = {f"{gate}.xml" for gate in GATES} | {"unit-tests.xml", "coverage.xml"}
    assert {name for reports in PROVABLE.values() for name in reports} <= shown
    makefile = (PROJECT / "Makefile").read_text()
    for gate in PROVABLE:
        recipe = makefile.partition(f"\n{gate}: ")[2].partition("\n\n")[0].split("\n.PHONY")[0]
        assert "$(PROVEN)" in recipe, f"`make {gate}` records that it has passed"
