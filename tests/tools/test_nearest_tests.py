"""The tests nearest to a change are those that import what changed, or name it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.nearest_tests import changed_files, main, nearest_tests, read_importers

#: A domain, a use case on top of it and a view on top of that; the use case and the runbook have tests.
FILES: Mapping[str, str] = {
    "app/money.py": "RATE = 3\n",
    "app/payments.py": "from app.money import RATE\n\nFEE = RATE * 2\n",
    "app/views.py": "from app.payments import FEE\n",
    "service/migrations/sql/0001.sql": "",
    "docs/runbook.md": "",
    "docs/unread.md": "",
    "tests/test_payments.py": "from app.payments import FEE\n\n\ndef test_fee() -> None:\n    assert FEE == 6\n",
    "tests/test_far.py": "from app.views import FEE\n\n\ndef test_far() -> None:\n    assert FEE\n",
    "tests/test_runbook.py": 'RUNBOOK = "docs/runbook.md"\n',
    "tests/test_migrations.py": 'FOLDER = "migrations"\n',
    # Its own configuration of pytest, so that it does not take one of a folder above.
    "pyproject.toml": '[tool.ruff]\nsrc = ["."]\n[tool.pytest.ini_options]\n',
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com")
    for command in (("init", "--quiet"), ("add", "--all"), (*identity, "commit", "--quiet", "--message", "First")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("tests/test_far.py", {"tests/test_far.py"}),
        ("app/payments.py", {"tests/test_payments.py"}),
        ("app/money.py", {"tests/test_payments.py"}),
        ("app/views.py", {"tests/test_far.py"}),
        ("docs/runbook.md", {"tests/test_runbook.py"}),
        ("service/migrations/sql/0001.sql", {"tests/test_migrations.py"}),
        ("docs/unread.md", set()),
    ],
    ids=["a test", "imported", "through an importer", "not its imports", "named", "folder named", "nothing near"],
)
def test_a_change_leads_to_its_nearest_tests(project: Path, changed: str, tests: set[str]) -> None:
    found = nearest_tests([Path(changed)], read_importers(project), project)
    assert found == {Path(name) for name in tests}


def test_new_and_edited_files_are_changed_and_deleted_ones_are_not(project: Path) -> None:
    (project / "app" / "money.py").write_text("RATE = 4\n")
    (project / "app" / "new.py").write_text("")
    (project / "app" / "views.py").unlink()
    assert changed_files(project, "HEAD") == {Path("app/money.py"), Path("app/new.py")}


def test_a_change_that_breaks_a_test_is_caught_by_what_is_printed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "app" / "money.py").write_text("RATE = 4\n")
    main([])
    printed = capsys.readouterr().out.split()
    assert printed == ["tests/test_payments.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *printed]
    without_plugins = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # importing them takes seconds
    assert subprocess.run(command, cwd=project, env=without_plugins, capture_output=True, check=False).returncode == 1
