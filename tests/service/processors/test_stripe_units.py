"""Money through Stripe is what the merchant asked for, in whatever units Stripe counts it, both ways."""

from typing import Any

import pytest

from payments.domain.outcomes import DeclineCode, Outcome
from payments.processors.base import CallKind
from payments.processors.stripe import StripeProcessor
from tests.service.processors.stripe_calls import authorized, captured, changed, new_call, prepared
from tests.service.processors.stripe_standin import StripeStandin

#: Currency, amount in ISO 4217 minor units, and what a person calls it.
_MONEY = [
    ("ISK", 1500, 1500.0),
    ("UGX", 5000, 5000.0),
    ("MGA", 500_000, 5000.0),
    ("JPY", 1500, 1500.0),
    ("KWD", 5120, 5.12),
    ("EUR", 1099, 10.99),
]
money = pytest.mark.parametrize(("currency", "amount", "paid"), _MONEY, ids=[code for code, *_ in _MONEY])


@money
def test_a_charge_takes_what_was_asked(
    processor: StripeProcessor, standin: StripeStandin, currency: str, amount: int, paid: float
) -> None:
    captured(processor, amount=amount, currency=currency)
    assert standin.charged_in(currency.lower()) == paid


@money
def test_a_capture_takes_what_was_asked(
    processor: StripeProcessor, standin: StripeStandin, currency: str, amount: int, paid: float
) -> None:
    reference = authorized(processor, amount=amount * 2, currency=currency)
    call = new_call(CallKind.CAPTURE, charge_reference=reference, amount=amount, currency=currency)
    standin.faults["capture"] = ["lost", "before"]
    assert processor.capture(call).outcome is Outcome.APPROVED
    assert processor.look_up(call).outcome is Outcome.APPROVED
    assert standin.charged_in(currency.lower()) == paid


@money
def test_a_refund_returns_what_was_asked(
    processor: StripeProcessor, standin: StripeStandin, currency: str, amount: int, paid: float
) -> None:
    reference = captured(processor, amount=amount * 2, currency=currency)
    call = new_call(CallKind.REFUND, charge_reference=reference, amount=amount, currency=currency)
    assert processor.refund(call).outcome is Outcome.APPROVED
    (refund,) = standin.refunds.values()
    assert refund["amount"] * 2 == standin.intents[reference]["amount_received"]
    assert processor.refund(changed(call, attempt_id=f"{call.attempt_id}-rest")).outcome is Outcome.APPROVED


def test_the_stand_in_enforces_stripes_units(processor: StripeProcessor, standin: StripeStandin) -> None:
    """Without it, the tests above would prove nothing."""
    cases: list[tuple[str, str]] = [("150", "isk"), ("501", "ugx"), ("5124", "kwd"), ("49", "eur"), ("1000", "iqd")]
    for amount, currency in cases:
        form: dict[str, Any] = {"amount": amount, "currency": currency, "payment_method": "pm_card_visa"}
        status, body = standin.execute("create", "", form, "")
        assert (status, body["error"]["type"]) == (400, "invalid_request_error"), (amount, currency)


@pytest.mark.parametrize(
    ("kind", "amount", "currency", "refused"),
    [
        (CallKind.PAYMENT, 49, "EUR", True),
        (CallKind.CAPTURE, 49, "EUR", False),
        (CallKind.REFUND, 1, "EUR", False),
        (CallKind.PAYMENT, 5124, "KWD", True),
        (CallKind.CAPTURE, 5124, "KWD", True),
        (CallKind.REFUND, 5124, "KWD", True),
        (CallKind.REFUND, 150, "MGA", True),
        (CallKind.REFUND, 1, "ISK", False),
    ],
)
def test_impossible_amounts(
    processor: StripeProcessor, kind: CallKind, amount: int, currency: str, refused: bool
) -> None:
    assert (processor.amount_error(kind, amount, currency) is not None) is refused


def test_a_minimum_only_stripe_knows_is_final(processor: StripeProcessor, standin: StripeStandin) -> None:
    """An account that settles in another currency has other minimums."""
    result = processor.prepare(new_call(amount=1400, currency="CZK"))
    assert (result.outcome, result.decline_code) == (Outcome.NOT_DONE, DeclineCode.INVALID_AMOUNT)
    assert standin.intents == {}


def test_another_unit_is_another_amount(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = prepared(processor, amount=1500, currency="ISK", final=False)
    processor.authorize(call)
    standin.capture(str(call.charge_reference), {"amount_to_capture": "1500"})  # 15 kronur, in the dashboard
    capture = new_call(CallKind.CAPTURE, charge_reference=call.charge_reference, amount=1500, currency="ISK")
    result = processor.capture(capture)
    assert (result.outcome, result.decline_code) == (Outcome.DECLINED, DeclineCode.ALREADY_CAPTURED)
