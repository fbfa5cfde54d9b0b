"""One process at a time uses a folder."""

import os
from pathlib import Path

import pytest

from rehearsal.host.lock import LockedError, exclusive_lock


def test_the_holder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "lock"
    with exclusive_lock(file), pytest.raises(LockedError, match=f"process {os.getpid()}"), exclusive_lock(file):
        pass


def test_it_is_released(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive_lock(tmp_path / "lock"):
            pass
