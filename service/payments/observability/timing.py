"""Where the time of a request goes: spans summed by name, reported in the ``Server-Timing`` header."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_spans: ContextVar[dict[str, float] | None] = ContextVar("spans", default=None)


def begin() -> None:
    """Start new sums for the request that this thread serves."""
    _spans.set({"total": -time.perf_counter()})


@contextmanager
def span(name: str) -> Iterator[None]:
    """Add the duration of the block to ``name``; ignored before :func:`begin`."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spans = _spans.get()
        if spans is not None:
            spans[name] = spans.get(name, 0.0) + time.perf_counter() - started


def milliseconds() -> dict[str, float]:
    """Return the sums so far in milliseconds; ``total`` counts from :func:`begin`."""
    spans = _spans.get() or {}
    now = time.perf_counter()
    return {name: (value + now if name == "total" else value) * 1000 for name, value in spans.items()}
