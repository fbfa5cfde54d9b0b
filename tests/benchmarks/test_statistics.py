"""Figures of several rounds are medians of what each round measured, and ratios are of the same round."""

import math

import pytest

from benchmarks.statistics import percentile, ratios, summarize


def test_a_summary_is_the_median_with_its_spread() -> None:
    summary = summarize([90.0, 100.0, 130.0])
    assert (summary.median, summary.low, summary.high) == (100.0, 90.0, 130.0)
    assert summary.spread == pytest.approx(0.4)


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is half as fast in one round halves both: the ratio of the medians would say 0.5."""
    ratio = ratios([10.0, 100.0, 100.0], [20.0, 200.0, 100.0])
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize("denominator", [[1.0], [1.0, 0.0], [1.0, 2.0, 3.0]], ids=["fewer", "zero", "more"])
def test_what_cannot_be_compared_is_refused(denominator: list[float]) -> None:
    with pytest.raises(ValueError, match=r"zip|nothing"):
        ratios([1.0, 2.0], denominator)


def test_nothing_has_no_summary() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summarize([])


def test_percentiles_are_measured_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, cut) for cut in (50, 99, 99.9, 100)] == [50.0, 99.0, 100.0, 100.0]
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))
