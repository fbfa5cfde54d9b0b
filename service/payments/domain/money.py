"""Money: whole minor units of an ISO 4217 currency. No fractions, no floating point, no conversion."""

from functools import cache

from iso4217 import Currency as _Iso4217
from iso4217 import raw_xml as _table

#: The largest amount: 10^12 - 1 minor units.
MAX_AMOUNT = 999_999_999_999
#: Units of account with decimals, which the agency does not mark as funds: Uruguay's indexed unit for pensions, and the
#: unit in which the Arab Monetary Fund keeps its books.
_UNITS_OF_ACCOUNT = frozenset({"UYW", "XAD"})
_BASIS_POINTS = 10_000


@cache
def currencies() -> dict[str, int]:
    """Return the accepted currency codes and their exponents (decimal digits of the minor unit).

    They come from the table of the ISO 4217 maintenance agency. Codes without a minor unit (precious metals, units of
    bond markets, XXX, XTS) and what the agency marks as a fund are nothing that can be paid with, and are left out.
    """
    funds = {
        entry.findtext("Ccy") for entry in _table.iterfind("CcyTbl/CcyNtry") if entry.find("CcyNm[@IsFund]") is not None
    }
    return {
        currency.code: currency.exponent
        for currency in _Iso4217
        if currency.exponent is not None and currency.code not in funds | _UNITS_OF_ACCOUNT
    }


def is_currency(code: str) -> bool:
    """Return whether ``code`` is a currency that can be paid with."""
    return code in currencies()


def share(amount: int, basis_points: int) -> int:
    """Return ``basis_points`` (hundredths of a per cent) of ``amount``, rounded half up, in minor units."""
    return (amount * basis_points * 2 + _BASIS_POINTS) // (2 * _BASIS_POINTS)
