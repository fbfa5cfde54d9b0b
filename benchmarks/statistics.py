"""Medians, spreads and ratios of interleaved rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The median of several rounds, with the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """The distance from lowest to highest, as a fraction of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def summarize(values: Sequence[float]) -> Summary:
    """Summarize the values of all rounds.

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("there is nothing to summarize")
    return Summary(median=median(values), low=min(values), high=max(values))


def ratios(subject: Sequence[float], denominator: Sequence[float]) -> Summary:
    """Summarize the ratios round by round: both blocks of a round saw the same machine.

    Raises:
        ValueError: The rounds do not pair, or a denominator did nothing.
    """
    return summarize([own / other for own, other in zip(subject, denominator, strict=True) if _positive(other)])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of values in ascending order; NaN without values."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _positive(value: float) -> bool:
    if value <= 0:
        raise ValueError("a denominator did nothing in one round")
    return True
