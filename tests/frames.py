"""What Python 3.11 lacks: looking at the frames of all threads without hanging."""

import gc
from collections.abc import Callable
from types import FrameType

Frames = Callable[[], dict[int, FrameType]]


def without_garbage_collection(current_frames: Frames) -> Frames:
    """Return ``sys._current_frames`` as later Pythons have it (https://github.com/python/cpython/issues/106883).

    It holds a lock of the interpreter. A collection meanwhile may run Python code, and so let another thread run, which
    waits for that lock to start or end a thread: everything hangs. Slipcover calls it again and again on Python 3.11.
    """

    def frames() -> dict[int, FrameType]:
        enabled = gc.isenabled()
        gc.disable()
        try:
            return current_frames()
        finally:
            if enabled:
                gc.enable()

    return frames
