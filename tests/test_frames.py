"""Tests with many threads do not hang while their coverage is measured."""

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


def test_tests_read_them_like_that() -> None:
    assert sys._current_frames.__module__ == without_garbage_collection.__module__
