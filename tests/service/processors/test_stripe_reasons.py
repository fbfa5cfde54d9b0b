"""Stripe's codes, and what merchants read: the published tables, and whose fault a refusal is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.outcomes import Advice, DeclineCode
from payments.processors.stripe_reasons import DECLINES, OUR_FAULT, Reason
from tests.service.processors.test_stripe_refusals import published_codes

#: https://docs.stripe.com/declines/codes, "Card decline codes", as of September 2026.
PUBLISHED_DECLINES = """
    authentication_required authentication_not_handled approve_with_id call_issuer card_not_supported
    card_velocity_exceeded currency_not_supported do_not_honor do_not_try_again duplicate_transaction expired_card
    fraudulent generic_decline incorrect_address incorrect_cvc incorrect_number incorrect_pin incorrect_zip
    insufficient_funds invalid_account invalid_amount invalid_cvc invalid_expiry_month invalid_expiry_year
    invalid_number invalid_pin issuer_not_available lost_card merchant_blacklist new_account_information_available
    no_action_taken not_permitted offline_pin_required online_or_offline_pin_required pickup_card pin_try_exceeded
    processing_error reenter_transaction restricted_card revocation_of_all_authorizations revocation_of_authorization
    security_violation service_not_allowed stolen_card stop_payment_order testmode_decline transaction_not_allowed
    try_again_later withdrawal_count_limit_exceeded mobile_device_authentication_required
"""
#: The next steps that the same page gives, in our words.
NEXT_STEPS = {
    Advice.TRY_AGAIN_LATER: "approve_with_id issuer_not_available processing_error reenter_transaction try_again_later",
    Advice.CORRECT_DETAILS: """
        incorrect_address incorrect_cvc incorrect_number incorrect_pin incorrect_zip invalid_cvc invalid_expiry_month
        invalid_expiry_year invalid_number invalid_pin
    """,
    Advice.USE_ANOTHER_METHOD: """
        expired_card insufficient_funds pin_try_exceeded withdrawal_count_limit_exceeded testmode_decline
    """,
    Advice.CONTACT_ISSUER: """
        call_issuer card_velocity_exceeded do_not_honor generic_decline invalid_account invalid_amount
        new_account_information_available no_action_taken not_permitted restricted_card
        revocation_of_all_authorizations revocation_of_authorization security_violation service_not_allowed
        stop_payment_order transaction_not_allowed
    """,
    Advice.DO_NOT_RETRY: "lost_card stolen_card fraudulent merchant_blacklist duplicate_transaction pickup_card",
}


def _decline(code: str, **more: str) -> Reason:
    return Reason(type="card_error", code="card_declined", decline_code=code, status=402, **more)


def test_every_published_decline_code_is_mapped() -> None:
    assert len(PUBLISHED_DECLINES.split()) == 50
    assert set(PUBLISHED_DECLINES.split()) - DECLINES.keys() == set()


@pytest.mark.parametrize("advice", NEXT_STEPS)
def test_next_steps(advice: Advice) -> None:
    assert {code: _decline(code).explain().advice for code in NEXT_STEPS[advice].split()} == dict.fromkeys(
        NEXT_STEPS[advice].split(), advice
    )


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (_decline("insufficient_funds", advice_code="try_again_later"), Advice.TRY_AGAIN_LATER),
        (_decline("generic_decline", advice_code="do_not_try_again"), Advice.DO_NOT_RETRY),
        (_decline("do_not_honor", advice_code="confirm_card_data"), Advice.CORRECT_DETAILS),
        (_decline("do_not_honor", network_advice_code="03"), Advice.DO_NOT_RETRY),
        (_decline("do_not_honor", network_advice_code="02"), Advice.TRY_AGAIN_LATER),
        (_decline("do_not_honor", network_advice_code="03", advice_code="try_again_later"), Advice.TRY_AGAIN_LATER),
        (_decline("generic_decline", network_decline_code="14"), Advice.DO_NOT_RETRY),
        (_decline("insufficient_funds", network_decline_code="51"), Advice.USE_ANOTHER_METHOD),
        (_decline("code_of_tomorrow"), Advice.CONTACT_ISSUER),
        (_decline("code_of_tomorrow", advice_code="advice_of_tomorrow"), Advice.CONTACT_ISSUER),
    ],
    ids=lambda value: "" if isinstance(value, Advice) else value.decline_code,
)
def test_own_advice_comes_first(reason: Reason, advice: Advice) -> None:
    assert reason.explain().advice is advice


@pytest.mark.parametrize(
    ("code", "param", "expected", "advice"),
    [
        ("amount_too_small", "amount", DeclineCode.INVALID_AMOUNT, Advice.DO_NOT_RETRY),
        ("amount_too_large", "amount", DeclineCode.INVALID_AMOUNT, Advice.DO_NOT_RETRY),
        ("parameter_invalid_integer", "amount", DeclineCode.INVALID_AMOUNT, Advice.DO_NOT_RETRY),
        ("", "currency", DeclineCode.CURRENCY_NOT_SUPPORTED, Advice.DO_NOT_RETRY),
        ("resource_missing", "payment_method", DeclineCode.INVALID_PAYMENT_METHOD, Advice.USE_ANOTHER_METHOD),
        ("url_invalid", "return_url", DeclineCode.INVALID_REQUEST, Advice.DO_NOT_RETRY),
        ("parameter_invalid_string_blank", "metadata[order]", DeclineCode.INVALID_REQUEST, Advice.DO_NOT_RETRY),
        ("charge_exceeds_source_limit", "", DeclineCode.LIMIT_EXCEEDED, Advice.TRY_AGAIN_LATER),
        ("payment_method_not_available", "", DeclineCode.PROCESSING_ERROR, Advice.TRY_AGAIN_LATER),
        ("", "", DeclineCode.INVALID_REQUEST, Advice.DO_NOT_RETRY),
    ],
    ids=lambda value: value[:10] if type(value) is str else "",
)
def test_refused_requests(code: str, param: str, expected: DeclineCode, advice: Advice) -> None:
    reason = Reason(type="invalid_request_error", code=code, param=param, status=400)
    assert not reason.is_our_fault
    assert (reason.explain().decline_code, reason.explain().advice) == (expected, advice)


@pytest.mark.parametrize(
    "reason",
    [
        Reason(type="invalid_request_error", status=401, message="Invalid API Key provided: sk_test_****"),
        Reason(type="invalid_request_error", status=403, message="The provided key lacks permissions"),
        Reason(type="invalid_request_error", status=400, message="Invalid Stripe API version: 2099-01-01."),
        Reason(type="invalid_request_error", status=404, message="Unrecognized request URL (POST: /v9/x)."),
        Reason(type="invalid_request_error", status=400, code="parameter_unknown", param="capture_method"),
        Reason(type="invalid_request_error", status=400, code="parameter_invalid_empty", param="confirm"),
        Reason(type="invalid_request_error", status=404, code="resource_missing", param="intent"),
        Reason(type="invalid_request_error", status=400, code="payment_method_unactivated", param="payment_method"),
        *(Reason(type="invalid_request_error", status=400, code=code) for code in sorted(OUR_FAULT)),
    ],
    ids=lambda reason: (reason.code or reason.message)[:22],
)
def test_our_own_mistakes(reason: Reason) -> None:
    assert reason.is_our_fault


def test_our_mistakes_are_published_codes() -> None:
    assert OUR_FAULT - set(published_codes()) == set()


@given(
    st.dictionaries(st.sampled_from(["code", "type", "param", "message", "x"]), st.text() | st.none() | st.integers())
)
def test_whatever_stripe_says_is_read(error: dict[str, object]) -> None:
    reason = Reason.of(error, status=400)
    assert isinstance(reason.explain().advice, Advice)
    assert reason.describe().startswith("refused: ")
