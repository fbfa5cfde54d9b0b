"""Stripe's units: its published table, both ways, and what it cannot take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.money import MAX_AMOUNT, currencies
from payments.processors.stripe_amounts import (
    SUPPORTED,
    UnitError,
    amount_error,
    charge_error,
    from_stripe,
    to_stripe,
)

_PAYABLE = sorted(SUPPORTED & set(currencies()))


@pytest.mark.parametrize(
    ("ours", "currency", "stripes"),
    [
        (1099, "EUR", 1099),
        (1500, "JPY", 1500),
        (1500, "ISK", 150_000),
        (5000, "UGX", 500_000),
        (150_000, "MGA", 1500),
        (5120, "KWD", 5120),
        (17500, "HUF", 17500),
        (80045, "TWD", 80045),
        (100, "CLP", 100),
    ],
)
def test_amounts_are_in_stripes_units(ours: int, currency: str, stripes: int) -> None:
    assert to_stripe(ours, currency) == stripes
    assert from_stripe(stripes, currency.lower()) == ours


def test_only_these_units_differ_from_iso_4217() -> None:
    differing = {code for code in _PAYABLE if amount_error(100, code) is None and to_stripe(100, code) != 100}
    assert differing == {"ISK", "UGX", "MGA"}


@given(st.integers(1, MAX_AMOUNT), st.sampled_from(_PAYABLE))
def test_whatever_stripe_takes_comes_back_as_it_was(amount: int, currency: str) -> None:
    if amount_error(amount, currency) is None:
        assert from_stripe(to_stripe(amount, currency), currency) == amount
    else:
        assert amount % 10 or amount % 100


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(5124, "KWD"), (1, "BHD"), (15, "JOD"), (99, "OMR"), (1001, "TND"), (150, "MGA"), (1000, "IQD"), (1000, "CUP")],
)
def test_what_stripe_cannot_take_is_named(amount: int, currency: str) -> None:
    assert amount_error(amount, currency) is not None


@pytest.mark.parametrize(
    ("amount", "currency", "limit"),
    [
        (49, "EUR", 50),
        (29, "GBP", 30),
        (49, "JPY", 50),
        (17_499, "HUF", 17_500),
        (100_000_000, "EUR", 99_999_999),
        (1_000_000, "ISK", 999_999),
        (1_000_000_000, "INR", 999_999_999),
        (100_000_000, "KWD", 99_999_990),
        (10_000_000_000, "MGA", 9_999_999_900),
    ],
)
def test_charge_limits(amount: int, currency: str, limit: int) -> None:
    assert str(limit) in str(charge_error(amount, currency))
    assert charge_error(limit, currency) is None


@pytest.mark.parametrize(("amount", "currency"), [(1, "EUR"), (1, "ISK"), (1, "USD")])
def test_refunds_have_no_minimum(amount: int, currency: str) -> None:
    assert amount_error(amount, currency) is None


@pytest.mark.parametrize(("amount", "currency"), [(150, "isk"), (50, "UGX"), (1000, "usdc"), (1000, "")])
def test_unknown_units_raise(amount: int, currency: str) -> None:
    with pytest.raises(UnitError):
        from_stripe(amount, currency)
