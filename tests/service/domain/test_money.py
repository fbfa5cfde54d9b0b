"""Money: the published currencies, and exact rounding."""

import pytest
from hypothesis import given

from payments.domain import money
from tests.service.domain.samples import AMOUNTS, RATES


@pytest.mark.parametrize(("code", "exponent"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("BHD", 3), ("MGA", 2)])
def test_exponents_are_those_of_iso_4217(code: str, exponent: int) -> None:
    assert money.currencies()[code] == exponent
    assert money.is_currency(code)


@pytest.mark.parametrize("code", ["XXX", "XTS", "XAU", "eur", "EU", "ABC", ""])
def test_codes_that_are_not_payable(code: str) -> None:
    assert not money.is_currency(code)


@pytest.mark.parametrize("code", ["BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAD", "XDR", "XPT"])
def test_funds_metals_and_units_of_account_are_not_money(code: str) -> None:
    assert not money.is_currency(code)


@given(AMOUNTS, RATES)
def test_a_share_is_rounded_half_up(amount: int, rate: int) -> None:
    exact, rounded = amount * rate, money.share(amount, rate) * 10_000
    assert -5000 < rounded - exact <= 5000
    assert 0 <= money.share(amount, rate) <= amount


@pytest.mark.parametrize(("amount", "rate", "rounded"), [(1, 5000, 1), (1, 4999, 0), (3, 5000, 2), (50, 100, 1)])
def test_half_a_minor_unit_is_rounded_up(amount: int, rate: int, rounded: int) -> None:
    assert money.share(amount, rate) == rounded


def test_largest_amount() -> None:
    assert money.MAX_AMOUNT == 10**12 - 1
