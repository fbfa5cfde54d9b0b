"""The files of a rehearsal."""

from pathlib import Path

from rehearsal.runner.workspace import Workspace


def test_emptying_keeps_the_caches(tmp_path: Path) -> None:
    workspace = Workspace(checkout=tmp_path)
    workspace.caches.mkdir(parents=True)
    (workspace.caches / "wheel").touch()
    workspace.empty()
    (workspace.logs / "old.log").touch()
    workspace.empty()
    assert (workspace.caches / "wheel").exists()
    assert list(workspace.logs.iterdir()) == []
