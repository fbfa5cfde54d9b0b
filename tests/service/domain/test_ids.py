"""Identifiers: UUIDv7 in Crockford's alphabet, sorted by time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain import ids
from tests.service.domain.samples import NOW

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPAN = timedelta(days=365 * 8000)
MOMENTS = st.timedeltas(timedelta(0), _SPAN).map(lambda since: _EPOCH + since)
MILLISECOND = timedelta(milliseconds=1)


def _value(body: str) -> int:
    value = 0
    for character in body:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    return value


@pytest.mark.parametrize(("microsecond", "fraction"), [(0, 0), (123456, 456 * 4096 // 1000), (999, 999 * 4096 // 1000)])
def test_an_identifier_is_a_uuid_7_in_crockfords_alphabet(microsecond: int, fraction: int) -> None:
    moment = NOW.replace(microsecond=microsecond)
    prefix, _, body = ids.new_id("pay", moment).partition("_")
    assert (prefix, len(body)) == ("pay", 26)
    value = _value(body)
    assert value < 2**128
    assert value >> 80 == int(moment.timestamp() * 1000)
    assert value >> 76 & 0xF == 7, "version"
    assert value >> 64 & 0xFFF == fraction, "fraction of the millisecond"
    assert value >> 62 & 0b11 == 0b10, "variant"


def test_62_bits_of_an_identifier_are_random() -> None:
    drawn = [_value(ids.new_id("pay", NOW).partition("_")[2]) & 2**64 - 1 for _ in range(10_000)]
    assert len(set(drawn)) == len(drawn)
    ever_set, always_set = 0, -1
    for value in drawn:
        ever_set, always_set = ever_set | value, always_set & value
    assert (ever_set, always_set) == (0b10 << 62 | 2**62 - 1, 0b10 << 62), "behind the variant"


@given(MOMENTS)
def test_identifiers_carry_their_time(moment: datetime) -> None:
    assert timedelta(0) <= moment - ids.created_at(ids.new_id("pay", moment)) < MILLISECOND


@given(MOMENTS, MOMENTS)
def test_identifiers_sort_by_time(one: datetime, other: datetime) -> None:
    first, second = sorted((one, other))
    if second - first >= timedelta(microseconds=1):
        assert ids.new_id("pay", first) < ids.new_id("pay", second)


@given(MOMENTS)
def test_bounds_in_time_are_bounds_on_identifiers(moment: datetime) -> None:
    moment = moment.replace(microsecond=0) + MILLISECOND
    bound = ids.lowest_id_at("pay", moment)
    assert bound <= ids.new_id("pay", moment)
    assert bound > ids.new_id("pay", moment - MILLISECOND)
    assert (ids.is_id("pay", bound), ids.created_at(bound)) == (True, moment)


@pytest.mark.parametrize("moment", [datetime(1960, 1, 1, tzinfo=UTC), _EPOCH])
def test_the_lowest_of_times_until_1970_is_the_lowest_of_all(moment: datetime) -> None:
    assert ids.lowest_id_at("pay", moment) == "pay_" + "0" * 26


MALFORMED = [
    "",
    "pay",
    "pay_",
    "0" * 26,
    "re_" + "0" * 26,
    "pay_" + "0" * 25,
    "pay_" + "0" * 27,
    "pay_" + "i" * 26,
    "pay_8" + "0" * 25,
    "pay_" + "0" * 25 + "A",
    "pay_" + "0" * 26 + "\n",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_identifiers(text: str) -> None:
    assert not ids.is_id("pay", text)
    assert ids.is_id("pay", "pay_" + "0" * 26)
