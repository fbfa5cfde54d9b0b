"""Why Stripe refused something: its codes, what they mean to a merchant, and whether the fault is our own.

Sources, as published in 2026: https://docs.stripe.com/declines/codes (decline codes and their next steps),
https://docs.stripe.com/declines/card (`advice_code`), https://docs.stripe.com/error-codes (error codes), Mastercard's
merchant advice codes and Visa's decline category 1 (`network_advice_code`, `network_decline_code`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from payments.domain.outcomes import Advice, DeclineCode

_D, _A = DeclineCode, Advice


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a refusal means to a merchant."""

    decline_code: DeclineCode
    advice: Advice


def _table(*groups: tuple[DeclineCode, Advice, str]) -> dict[str, Explanation]:
    return {
        code: Explanation(decline_code=decline_code, advice=advice)
        for decline_code, advice, codes in groups
        for code in codes.split()
    }


#: Decline codes of cards. The advice is what Stripe gives as the next step.
DECLINES = _table(
    (
        _D.GENERIC_DECLINE,
        _A.CONTACT_ISSUER,
        """
        card_declined generic_decline call_issuer no_action_taken not_permitted security_violation
        service_not_allowed transaction_not_allowed restricted_card revocation_of_authorization
        revocation_of_all_authorizations stop_payment_order invalid_account
        new_account_information_available offline_pin_required online_or_offline_pin_required
        """,
    ),
    (_D.GENERIC_DECLINE, _A.TRY_AGAIN_LATER, "approve_with_id reenter_transaction try_again_later"),
    (_D.GENERIC_DECLINE, _A.DO_NOT_RETRY, "do_not_try_again"),
    (_D.GENERIC_DECLINE, _A.USE_ANOTHER_METHOD, "testmode_decline pin_try_exceeded"),
    (_D.DO_NOT_HONOR, _A.CONTACT_ISSUER, "do_not_honor"),
    (_D.INSUFFICIENT_FUNDS, _A.USE_ANOTHER_METHOD, "insufficient_funds"),
    (_D.EXPIRED_CARD, _A.USE_ANOTHER_METHOD, "expired_card expired_payment_method"),
    (_D.INCORRECT_CVC, _A.CORRECT_DETAILS, "incorrect_cvc invalid_cvc"),
    (
        _D.INCORRECT_DETAILS,
        _A.CORRECT_DETAILS,
        """
        incorrect_address incorrect_number incorrect_pin incorrect_zip incorrect_postal_code
        postal_code_invalid invalid_expiry_month invalid_expiry_year invalid_number invalid_pin
        """,
    ),
    (_D.LOST_CARD, _A.DO_NOT_RETRY, "lost_card"),
    (_D.STOLEN_CARD, _A.DO_NOT_RETRY, "stolen_card pickup_card"),
    (_D.FRAUDULENT, _A.DO_NOT_RETRY, "fraudulent merchant_blacklist"),
    (_D.CARD_NOT_SUPPORTED, _A.USE_ANOTHER_METHOD, "card_not_supported invalid_card_type"),
    (_D.CURRENCY_NOT_SUPPORTED, _A.USE_ANOTHER_METHOD, "currency_not_supported payment_method_currency_mismatch"),
    (
        _D.AUTHENTICATION_FAILED,
        _A.USE_ANOTHER_METHOD,
        """
        authentication_required authentication_not_handled mobile_device_authentication_required
        authentication_failure payment_intent_authentication_failure payment_intent_action_required
        three_d_secure_authentication_not_supported three_d_secure_authentication_upstream_error
        """,
    ),
    (_D.LIMIT_EXCEEDED, _A.CONTACT_ISSUER, "card_velocity_exceeded invalid_amount"),
    (_D.LIMIT_EXCEEDED, _A.USE_ANOTHER_METHOD, "withdrawal_count_limit_exceeded"),
    (_D.LIMIT_EXCEEDED, _A.TRY_AGAIN_LATER, "card_decline_rate_limit_exceeded payment_intent_rate_limit_exceeded"),
    (_D.DUPLICATE_TRANSACTION, _A.DO_NOT_RETRY, "duplicate_transaction"),
    (_D.PROCESSING_ERROR, _A.TRY_AGAIN_LATER, "processing_error issuer_not_available"),
)
#: Codes of requests that were refused for what they ask, not for the card.
_REQUESTS = _table(
    (
        _D.INVALID_AMOUNT,
        _A.DO_NOT_RETRY,
        """
        amount_too_large amount_too_small invalid_charge_amount charge_exceeds_transaction_limit
        invalid_charge_amount_no_decimal_compatible
        """,
    ),
    (_D.LIMIT_EXCEEDED, _A.TRY_AGAIN_LATER, "charge_exceeds_source_limit"),
    (_D.AUTHORIZATION_EXPIRED, _A.DO_NOT_RETRY, "charge_expired_for_capture capture_charge_authorization_expired"),
    (_D.ALREADY_CAPTURED, _A.DO_NOT_RETRY, "charge_already_captured"),
    (_D.ALREADY_REFUNDED, _A.DO_NOT_RETRY, "charge_already_refunded"),
    (_D.DISPUTED, _A.DO_NOT_RETRY, "charge_disputed refund_disputed_payment"),
    (_D.REFUND_REFUSED, _A.DO_NOT_RETRY, "charge_not_refundable"),
    (_D.PROCESSING_ERROR, _A.TRY_AGAIN_LATER, "balance_insufficient payment_method_not_available"),
    (
        _D.INVALID_PAYMENT_METHOD,
        _A.USE_ANOTHER_METHOD,
        """
        payment_method_unexpected_state payment_method_invalid_parameter payment_method_unsupported_type
        payment_method_restricted payment_intent_incompatible_payment_method token_already_used token_in_use
        token_card_network_invalid invalid_source_usage
        """,
    ),
    (
        _D.INVALID_STATE,
        _A.DO_NOT_RETRY,
        """
        payment_intent_unexpected_state intent_invalid_state status_transition_invalid
        capture_unauthorized_payment return_intent_already_processed
        """,
    ),
)
#: Codes of our account, key or software. They say nothing about the payment.
OUR_FAULT = frozenset(
    """
    account_closed account_invalid api_key_expired application_fees_not_allowed approval_required capability_not_active
    country_unsupported livemode_mismatch no_account not_allowed_on_standard_account parameter_missing parameter_unknown
    parameters_exclusive payment_method_configuration_failures payment_method_unactivated platform_account_required
    platform_api_key_expired secret_key_required storer_capability_missing storer_capability_not_active
    testmode_charges_only tls_version_unsupported
    """.split()  # noqa: SIM905 - a list of one code a line would be three screens
)
#: Codes that leave open what happened, whatever the HTTP status.
UNDECIDED = frozenset({"idempotency_key_in_use", "lock_timeout", "rate_limit"})
#: Parameters whose values come from the merchant; every other one is ours.
_MERCHANT_PARAMETERS = re.compile(
    r"(amount|amount_to_capture|currency|description|metadata|payment_method|reason|return_url)(\[.*)?"
)
_PARAMETERS = _table(
    (_D.INVALID_AMOUNT, _A.DO_NOT_RETRY, "amount amount_to_capture"),
    (_D.CURRENCY_NOT_SUPPORTED, _A.DO_NOT_RETRY, "currency"),
    (_D.INVALID_PAYMENT_METHOD, _A.USE_ANOTHER_METHOD, "payment_method"),
)
#: The one mistake that Stripe describes in prose only: no code, no parameter.
_API_VERSION = re.compile(r"\bAPI version\b", re.IGNORECASE)
_ADVICE: Mapping[str, Advice] = {
    "confirm_card_data": _A.CORRECT_DETAILS,
    "do_not_try_again": _A.DO_NOT_RETRY,
    "try_again_later": _A.TRY_AGAIN_LATER,
}
#: Mastercard: 01 new account information, 02 later, 03 and 21 never again, 24 to 30 after an hour to ten days.
_NETWORK_ADVICE: Mapping[str, Advice] = {
    "01": _A.CORRECT_DETAILS,
    "02": _A.TRY_AGAIN_LATER,
    "03": _A.DO_NOT_RETRY,
    "21": _A.DO_NOT_RETRY,
    **dict.fromkeys(("24", "25", "26", "27", "28", "29", "30"), _A.TRY_AGAIN_LATER),
}
#: Visa's category 1: the issuer never approves.
_NEVER_APPROVED = frozenset({"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"})
_UNEXPLAINED = Explanation(decline_code=_D.INVALID_REQUEST, advice=_A.DO_NOT_RETRY)
_UNEXPLAINED_DECLINE = Explanation(decline_code=_D.GENERIC_DECLINE, advice=_A.CONTACT_ISSUER)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Stripe's codes of one refusal, from a response or from what an object says about its last failure."""

    type: str = ""
    code: str = ""
    decline_code: str = ""
    advice_code: str = ""
    network_advice_code: str = ""
    network_decline_code: str = ""
    param: str = ""
    message: str = ""
    #: Of the response, 0 without one.
    status: int = 0

    @classmethod
    def of(cls, error: Mapping[str, Any], *, status: int = 0) -> "Reason":
        """Read an error object. ``Any``: it is parsed JSON, of which only strings are taken."""
        names = cls.__dataclass_fields__.keys() - {"status"}
        return cls(status=status, **{name: value for name in names if isinstance(value := error.get(name), str)})

    @property
    def is_decline(self) -> bool:
        """Whether the card was refused, rather than the request."""
        return self.type == "card_error"

    @property
    def is_our_fault(self) -> bool:
        """Whether our key, account or software is wrong: no evidence about the payment, and mended by us."""
        if self.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return True
        if _MERCHANT_PARAMETERS.fullmatch(self.param):
            return self.code in OUR_FAULT and not self.code.startswith("parameter")
        return (
            self.code in OUR_FAULT
            or self.code.startswith("parameter_")
            or self.code == "resource_missing"
            or self.status == HTTPStatus.NOT_FOUND
            or (not self.code and _API_VERSION.search(self.message) is not None)
        )

    @property
    def concerns_all_calls(self) -> bool:
        """Whether our fault affects every call, not only those for an object of another account."""
        return self.is_our_fault and self.code != "resource_missing"

    def explain(self) -> Explanation:
        """Return what it means to a merchant; what is our fault is not for merchants."""
        if self.is_decline:
            return self._explain_decline()
        for table, code in ((_REQUESTS, self.code), (DECLINES, self.code), (_PARAMETERS, self.param)):
            if code in table:
                return table[code]
        return _UNEXPLAINED

    def _explain_decline(self) -> Explanation:
        known = DECLINES.get(self.decline_code) or DECLINES.get(self.code) or _REQUESTS.get(self.code)
        found = known or _UNEXPLAINED_DECLINE
        advice = _ADVICE.get(self.advice_code) or _NETWORK_ADVICE.get(self.network_advice_code)
        if advice is None and found.decline_code is _D.GENERIC_DECLINE and self.network_decline_code in _NEVER_APPROVED:
            advice = _A.DO_NOT_RETRY
        return Explanation(decline_code=found.decline_code, advice=advice or found.advice)

    def describe(self) -> str:
        """Describe it for the log: with Stripe's codes, not its prose."""
        codes = (self.decline_code or self.code, self.param, str(self.status) if self.status else "")
        return "refused: " + (" ".join(code for code in codes if code) or "no code")
