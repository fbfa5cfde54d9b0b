"""Operations: how long things are waited for, and when they are looked at again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from payments.domain import operations
from payments.domain.operations import FIRST_LOOKUP_DELAY, MAX_LOOKUP_DELAY, lookup_delay


def test_times_are_the_published_ones() -> None:
    assert timedelta(seconds=10) == operations.PROCESSOR_DEADLINE
    assert timedelta(seconds=60) == operations.KEY_LEASE
    assert timedelta(hours=72) == operations.KEY_RETENTION
    assert timedelta(minutes=30) == operations.STUCK_AFTER
    assert timedelta(seconds=5) > FIRST_LOOKUP_DELAY


def test_looks_back_off_to_a_quarter_of_an_hour() -> None:
    seconds = [lookup_delay(looks) / timedelta(seconds=1) for looks in range(12)]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


@given(st.integers(0))
def test_however_often_was_looked_there_is_a_next_look(looks: int) -> None:
    assert FIRST_LOOKUP_DELAY <= lookup_delay(looks) <= MAX_LOOKUP_DELAY
