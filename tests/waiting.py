"""Waiting for what no event announces: the state of another process."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_TIMEOUT_SECONDS = 60.0
_INTERVAL_SECONDS = 0.02
_Result = TypeVar("_Result")


def wait_until(condition: Callable[[], _Result], what: str, *, timeout: float = _TIMEOUT_SECONDS) -> _Result:
    """Return the first true result of `condition`; fail, naming `what` was waited for, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(_INTERVAL_SECONDS)
    return result


async def wait_until_async(condition: Callable[[], object], what: str) -> None:
    """Wait as `wait_until` does, while the event loop runs."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {_TIMEOUT_SECONDS:g} s for {what}"
        await asyncio.sleep(_INTERVAL_SECONDS)
