"""One rehearsal at a time in a checkout, and nothing of the last one in the way of the next."""

import os
from pathlib import Path

import pytest

from rehearsal.runner.workspace import BusyError, Workspace


def test_a_second_rehearsal_is_refused_and_told_which_process_runs(tmp_path: Path) -> None:
    workspace = Workspace(checkout=tmp_path)
    with workspace.lock(), pytest.raises(BusyError, match=f"process {os.getpid()}"), workspace.lock():
        pass
    with workspace.lock():
        pass


def test_emptying_keeps_the_caches(tmp_path: Path) -> None:
    workspace = Workspace(checkout=tmp_path)
    cache = tmp_path / ".run" / "cache"
    cache.mkdir(parents=True)
    (cache / "wheel").touch()
    workspace.empty()
    (workspace.logs / "old.log").touch()
    workspace.empty()
    assert (cache / "wheel").exists()
    assert list(workspace.logs.iterdir()) == []
