"""Tests that run many threads do not hang while slipcover measures their coverage."""

import gc
import sys
from types import FrameType

from tests.frames import without_garbage_collection


def test_no_garbage_is_collected_while_the_frames_of_all_threads_are_read() -> None:
    enabled: list[bool] = []

    def current_frames() -> dict[int, FrameType]:
        enabled.append(gc.isenabled())
        return {}

    without_garbage_collection(current_frames)()
    assert enabled == [False]
    assert gc.isenabled()


def test_every_test_reads_them_without_collecting_garbage() -> None:
    assert sys._current_frames.__module__ == without_garbage_collection.__module__
