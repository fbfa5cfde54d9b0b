"""Stripe's units of money, which are not always the minor units of ISO 4217. Pure functions, both ways.

Source: https://docs.stripe.com/currencies, sections "Minor units in API amounts", "Special cases" and "Minimum and
maximum charge amounts", as published in 2025-2026. Where an older and a newer edition name different minimums, the
lower is taken: only what Stripe surely refuses is refused here, and its own refusal is an outcome like any other.
"""

from payments.domain.money import currencies


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Stripe counts whole units. MGA is one of them, though ISO 4217 gives it two decimals.
ZERO_DECIMAL = _codes("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
#: Stripe counts thousandths, and requires the last digit to be 0.
THREE_DECIMAL = _codes("BHD JOD KWD OMR TND")
#: Whole units by ISO 4217, which Stripe still counts in hundredths; the last two digits must be 00.
WHOLE_IN_HUNDREDTHS = _codes("ISK UGX")
#: What Stripe's API takes in some country, as it lists them when it refuses another ("Invalid currency").
SUPPORTED = _codes("""
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
    CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
    ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR
    MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD
    SVC SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW
""")
#: The smallest charge in Stripe's units, for an account that settles in the same currency.
MINIMUM_CHARGE = {
    code: minimum
    for minimum, codes in {
        30: "GBP",
        50: "AUD BRL CAD CHF EUR INR JPY NZD SGD USD",
        100: "BGN",
        200: "AED MYR PLN RON",
        250: "DKK",
        300: "NOK SEK",
        400: "HKD",
        1000: "MXN THB",
        1500: "CZK",
        17_500: "HUF",
    }.items()
    for code in _codes(codes)
}
#: Digits of the largest charge in Stripe's units, by card, where they are not :data:`_MAX_DIGITS`.
_LARGER_DIGITS = {"COP": 13, "HUF": 13, "IDR": 12, "INR": 9, "JPY": 13, "LBP": 14}
_MAX_DIGITS = 8


class UnitError(ValueError):
    """An amount of Stripe's that has no counterpart in ours: another currency, or a fraction of our minor unit."""


def to_stripe(amount: int, currency: str) -> int:
    """Return ``amount`` (ISO 4217 minor units) in Stripe's units.

    Raises:
        UnitError: Stripe has no such amount; :func:`amount_error` says why.
    """
    return _scale(amount, currency, _shift(currency))


def from_stripe(amount: int, currency: str) -> int:
    """Return ``amount`` (Stripe's units) in ISO 4217 minor units. Stripe writes ``currency`` in lower case.

    Raises:
        UnitError: We have no such amount.
    """
    return _scale(amount, currency, -_shift(currency))


def currency_error(currency: str) -> str | None:
    """Return why Stripe cannot take ``currency`` at all; ``None`` if it can."""
    return None if currency in SUPPORTED else f"Stripe does not support {currency}."


def amount_error(amount: int, currency: str) -> str | None:
    """Return why Stripe cannot take ``amount`` (ISO 4217 minor units), in whatever kind of call; ``None`` if it can."""
    if currency not in SUPPORTED:
        return currency_error(currency)
    step = _step(currency)
    if amount % step:
        return f"Stripe takes amounts in {currency} only in multiples of {step} minor units."
    return None


def charge_error(amount: int, currency: str) -> str | None:
    """Return why Stripe cannot charge ``amount`` (ISO 4217 minor units); ``None`` if it can."""
    error = amount_error(amount, currency)
    if error is not None:
        return error
    minimum = MINIMUM_CHARGE.get(currency, 0)
    if to_stripe(amount, currency) < minimum:
        return f"Stripe charges at least {from_stripe(minimum, currency)} minor units in {currency}."
    maximum = 10 ** _LARGER_DIGITS.get(currency, _MAX_DIGITS) - 1
    if to_stripe(amount, currency) > maximum:
        # Rounded down to what is both a multiple of the step and has a counterpart in our units.
        largest = maximum // 10 ** max(_shift(currency), 0) * 10 ** max(-_shift(currency), 0)
        return f"Stripe charges at most {largest - largest % _step(currency)} minor units in {currency}."
    return None


def _decimals(currency: str) -> int:
    """Return the decimals of Stripe's unit."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def _shift(currency: str) -> int:
    """Return the power of ten from our unit to Stripe's."""
    exponent = currencies().get(currency.upper())
    if exponent is None:
        raise UnitError(f"{currency} is no currency of ours")
    return _decimals(currency.upper()) - exponent


def _step(currency: str) -> int:
    """Return the smallest amount of our minor units that Stripe can take."""
    if currency in THREE_DECIMAL:
        return 10
    return int(10 ** max(-_shift(currency), 0))


def _scale(amount: int, currency: str, shift: int) -> int:
    if shift >= 0:
        return amount * int(10**shift)
    quotient, rest = divmod(amount, int(10**-shift))
    if rest:
        raise UnitError(f"{amount} in {currency} is a fraction of the unit")
    return quotient
