"""Operations: deadlines, leases, and the back-off of look-ups."""

from datetime import timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain import operations
from payments.domain.operations import FIRST_LOOKUP_DELAY, MAX_LOOKUP_DELAY, lookup_delay


def test_durations_are_the_published_ones() -> None:
    assert timedelta(seconds=10) == operations.PROCESSOR_DEADLINE
    assert timedelta(seconds=60) == operations.KEY_LEASE
    assert timedelta(hours=72) == operations.KEY_RETENTION
    assert timedelta(minutes=30) == operations.STUCK_AFTER
    assert timedelta(seconds=5) > FIRST_LOOKUP_DELAY


def test_look_ups_back_off_to_a_quarter_of_an_hour() -> None:
    seconds = [lookup_delay(lookups) / timedelta(seconds=1) for lookups in (*range(8), 178, 179, 180)]
    assert seconds == [1, 2, 4, 8, 16, 30, 35, 40, 895, 900, 900]


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 30), (6, 70), (60, 195)])
def test_the_end_of_an_outage_is_soon_noticed(minutes: int, seconds: int) -> None:
    """However it lies between two look-ups."""
    looked_up = accumulate(map(lookup_delay, range(100)), initial=timedelta(0))
    before, after = next(pair for pair in pairwise(looked_up) if pair[1] >= timedelta(minutes=minutes))
    assert after - before <= timedelta(seconds=seconds)


@given(st.integers(0))
def test_there_is_always_a_next_look_up(lookups: int) -> None:
    assert FIRST_LOOKUP_DELAY <= lookup_delay(lookups) <= MAX_LOOKUP_DELAY
