"""Outcomes: which are final, and what merchants read about a refusal."""

import pytest

from payments.domain.outcomes import (
    FINAL,
    Advice,
    DeclineCode,
    Outcome,
    Result,
    advice_for,
    error_details,
)

ADVICE = {
    Advice.TRY_AGAIN_LATER: "insufficient_funds limit_exceeded processing_error",
    Advice.USE_ANOTHER_METHOD: "card_not_supported currency_not_supported authentication_failed invalid_payment_method",
    Advice.CONTACT_ISSUER: "generic_decline do_not_honor",
    Advice.CORRECT_DETAILS: "expired_card incorrect_cvc incorrect_details",
    Advice.DO_NOT_RETRY: """
        lost_card stolen_card fraudulent authorization_expired refund_refused duplicate_transaction invalid_amount
        invalid_request invalid_state already_captured already_refunded disputed
    """,
}


def test_every_decline_has_the_published_advice() -> None:
    published = {DeclineCode(code): advice for advice, codes in ADVICE.items() for code in codes.split()}
    assert {code: advice_for(code) for code in DeclineCode} == published


@pytest.mark.parametrize("code", DeclineCode)
def test_retryable_declines(code: DeclineCode) -> None:
    refused = Result(outcome=Outcome.DECLINED, decline_code=code)
    assert error_details(refused)["retryable"] is (advice_for(code) is Advice.TRY_AGAIN_LATER)


def test_the_processors_advice_is_better_than_the_usual_one() -> None:
    refused = Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.INSUFFICIENT_FUNDS, advice=Advice.DO_NOT_RETRY)
    details = error_details(refused)
    assert (details["decline_code"], details["advice"], details["retryable"]) == (
        "insufficient_funds",
        "do_not_retry",
        False,
    )


def test_only_four_outcomes_are_final() -> None:
    assert {outcome for outcome in Outcome if Result(outcome=outcome).is_final} == FINAL
    assert {Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE, Outcome.EXPIRED} == FINAL


FAILURES = {
    Result(outcome=Outcome.DECLINED): ("card_declined", "generic_decline", "contact_issuer", False),
    Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.LOST_CARD): (
        "card_declined",
        "lost_card",
        "do_not_retry",
        False,
    ),
    Result(outcome=Outcome.NOT_DONE): ("processor_error", "processing_error", "try_again_later", True),
    Result(outcome=Outcome.EXPIRED): ("authorization_expired", "authorization_expired", "do_not_retry", False),
}


@pytest.mark.parametrize(("result", "expected"), FAILURES.items(), ids=["declined", "lost card", "not done", "expired"])
def test_failures_use_our_own_vocabulary(result: Result, expected: tuple[str, str, str, bool]) -> None:
    told = dict(zip(("code", "decline_code", "advice", "retryable"), expected, strict=True))
    assert error_details(result) == told
