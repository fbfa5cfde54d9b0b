"""How a soak test shortens the waits of a process.

`TIME_SCALE` shortens intervals and the limits that they are measured against by one factor, so that what fails in an
hour fails in minutes. Deadlines of real work stay as they are: work does not get faster.
"""

#: Seconds; shorter waits are left alone, since shortening them only burns CPU.
_SHORTEST = 0.25


def scaled(seconds: float, scale: float) -> float:
    """Return a wait of ``seconds``, shortened by the factor ``scale``."""
    return max(seconds / scale, min(seconds, _SHORTEST))
