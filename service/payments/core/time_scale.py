"""`TIME_SCALE`: how many times faster than usual waiting passes, for a soak that has no days to spare.

It shortens intervals and the limits that they are measured against, all by the same factor, so that what goes wrong in
an hour goes wrong in minutes. Deadlines of real work stay as they are: work does not become faster.
"""

from collections.abc import Mapping

VARIABLE = "TIME_SCALE"
_HIGHEST = 1_000.0
#: Seconds; what waits no longer than this is not shortened: it would keep the processor busy and show nothing.
_SHORTEST = 0.25


def read(environ: Mapping[str, str]) -> float:
    """The factor, 1 unless the environment names another.

    Raises:
        ValueError: it is no number from 1 to 1000.
    """
    text = environ.get(VARIABLE) or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 1 <= scale <= _HIGHEST:
        raise ValueError(f"{VARIABLE} must be a number from 1 to {_HIGHEST:g}.")
    return scale


def scaled(seconds: float, scale: float) -> float:
    """``seconds`` of waiting, ``scale`` times shorter."""
    return max(seconds / scale, min(seconds, _SHORTEST))
