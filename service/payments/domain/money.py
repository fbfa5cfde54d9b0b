"""Money: whole minor units of an ISO 4217 currency. No fractions, no floating point, no conversion."""

from functools import cache

from iso4217 import Currency as _Iso4217

#: The largest amount: 10^12 - 1 minor units.
MAX_AMOUNT = 999_999_999_999
#: Codes for "no currency" and for tests.
_NOT_MONEY = frozenset({"XXX", "XTS"})
_BASIS_POINTS = 10_000


@cache
def currencies() -> dict[str, int]:
    """The accepted currency codes and their exponents (digits of the minor unit).

    From the table that the ISO 4217 maintenance agency publishes. Codes without a minor unit (precious metals, funds'
    units) name no payable money and are left out, as are XXX and XTS.
    """
    return {
        currency.code: currency.exponent
        for currency in _Iso4217
        if currency.exponent is not None and currency.code not in _NOT_MONEY
    }


def is_currency(code: str) -> bool:
    """Whether ``code`` names money that can be paid with."""
    return code in currencies()


def share(amount: int, basis_points: int) -> int:
    """``basis_points`` hundredths of a per cent of ``amount``, rounded half up, in minor units."""
    return (amount * basis_points * 2 + _BASIS_POINTS) // (2 * _BASIS_POINTS)
