"""Rules by which Stripe's API refuses requests, for the stand-in: units, limits, metadata, unknown parameters.

Written from Stripe's documents (currencies, metadata, error codes) independently of the adapter's own tables. The
parameters are those that the SDK, generated from Stripe's OpenAPI document, knows.
"""

import re
from typing import Any

import stripe

_ZERO_DECIMAL = set(re.findall("...", "bifclpdjfgnfjpykmfkrwmgapygrwfvndvuvxafxofxpf"))
_THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
#: Units of the API to one whole unit, where they are not 100.
_PER_UNIT = {**dict.fromkeys(_ZERO_DECIMAL, 1), **dict.fromkeys(_THREE_DECIMAL, 1000)}
#: Amounts must be multiples of these.
_MULTIPLES = {"isk": 100, "ugx": 100, **dict.fromkeys(_THREE_DECIMAL, 10)}
_MINIMUM = {"eur": 50, "usd": 50, "gbp": 30, "jpy": 50, "huf": 17_500, "czk": 1500}
_UNSUPPORTED = {"iqd", "lyd", "cup", "irr", "kpw", "syp", "clf", "xau"}
_LARGEST = {"idr": 999_999_999_999, "inr": 999_999_999, "jpy": 9_999_999_999_999}
_PARAMETERS: dict[str, Any] = {  # Any: classes of typed dictionaries
    "create": stripe.params.PaymentIntentCreateParams,
    "confirm": stripe.params.PaymentIntentConfirmParams,
    "capture": stripe.params.PaymentIntentCaptureParams,
    "cancel": stripe.params.PaymentIntentCancelParams,
    "retrieve": stripe.params.PaymentIntentRetrieveParams,
    "refund": stripe.params.RefundCreateParams,
    "get_refund": stripe.params.RefundRetrieveParams,
    "list_refunds": stripe.params.RefundListParams,
    "get_charge": stripe.params.ChargeRetrieveParams,
    "get_dispute": stripe.params.DisputeRetrieveParams,
    "list_disputes": stripe.params.DisputeListParams,
}


class Refused(Exception):  # noqa: N818 - a response
    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.status, self.error = status, error


def invalid(message: str, code: str = "", status: int = 400, **more: object) -> Refused:
    error = {"type": "invalid_request_error", "message": message, **more}
    return Refused(status, {**error, "code": code} if code else error)


def major_units(amount: int, currency: str) -> float:
    """What a person would call the amount: 15.0 for 1500 of the API's units of EUR."""
    return amount / _PER_UNIT.get(currency, 100)


def check_parameters(call: str, form: dict[str, Any]) -> None:
    unknown = form.keys() - _PARAMETERS[call].__annotations__.keys()
    if unknown:
        name = min(unknown)
        raise invalid(f"Received unknown parameter: {name}", "parameter_unknown", param=name)


def check_amount(text: str, currency: str, *, param: str = "amount") -> int:
    if currency != currency.lower() or currency in _UNSUPPORTED or len(currency) != 3:
        raise invalid(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: usd", param="currency"
        )
    if not text.isdigit():
        raise invalid(f"Invalid integer: {text}", "parameter_invalid_integer", param=param)
    amount = int(text)
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", "parameter_invalid_integer", param=param)
    if amount % _MULTIPLES.get(currency, 1):
        code = "invalid_charge_amount" if currency in _PER_UNIT else "invalid_charge_amount_no_decimal_compatible"
        raise invalid(f"Invalid amount: must be a multiple of {_MULTIPLES[currency]}", code, param=param)
    return amount


def check_charge(text: str, currency: str) -> int:
    amount = check_amount(text, currency)
    if amount < _MINIMUM.get(currency, 1):
        raise invalid("Amount must be at least the minimum", "amount_too_small", param="amount")
    if amount > _LARGEST.get(currency, 99_999_999):
        raise invalid("Amount must be no more than the maximum", "amount_too_large", param="amount")
    return amount


def merge_metadata(before: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    """Apply changes as Stripe does: an empty value removes a key."""
    for key, value in changes.items():
        if len(key) > 40 or len(value) > 500 or {"[", "]"} & set(key):
            raise invalid("Metadata keys can have up to 40, values up to 500 characters", param=f"metadata[{key}]")
    merged = {key: value for key, value in {**before, **changes}.items() if value}
    if len(merged) > 50:
        raise invalid("Metadata can have up to 50 keys", param="metadata")
    return merged
