"""Every kind of call, in every state of the PaymentIntent, refused with every code that Stripe publishes.

No combination may stay open for ever, except where the fault is ours or Stripe itself says "in progress"; and nothing
is believed that the object does not show. The codes are those of the SDK, which is generated from Stripe's OpenAPI
document of the API version that it pins.
"""

import typing
from collections.abc import Mapping
from typing import Any, NoReturn

import pytest
import stripe

from payments.domain.outcomes import Outcome, Result
from payments.processors.base import Call, CallKind
from payments.processors.stripe import StripeProcessor
from payments.processors.stripe_api import Indeterminate, RequestRefused
from payments.processors.stripe_reasons import DECLINES, OUR_FAULT, UNDECIDED
from tests.service.processors.stripe_calls import new_call

STATUSES = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
    "requires_incantation",
)


def published_codes() -> list[str]:
    """The error codes of the pinned API version."""
    parts = typing.get_args(stripe.PaymentIntent.LastPaymentError.__annotations__["code"])
    (literal,) = [part for part in parts if typing.get_origin(part) is typing.Literal]
    return sorted(typing.get_args(literal))


class Refusing:
    """The API of a Stripe that refuses every change of a PaymentIntent, except that a payment can be abandoned."""

    def __init__(self, call: Call, status: str, error: Mapping[str, str], http_status: int) -> None:
        self._error = error
        self._http_status = http_status
        self._abandons = call.kind is CallKind.PAYMENT
        self.intent: dict[str, Any] = {
            "id": "pi_1",
            "object": "payment_intent",
            "amount": call.amount,
            "amount_received": call.amount if status == "succeeded" else 0,
            "currency": "eur",
            "status": status,
            "latest_charge": "ch_1",
            "metadata": {},
            "last_payment_error": None,
            "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "https://issuer.example/"}},
        }

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        if self._error["code"] in UNDECIDED:
            raise Indeterminate(self._error["code"])
        error = stripe.StripeError(json_body={"error": dict(self._error)}, http_status=self._http_status)
        raise RequestRefused(error)

    confirm = capture = refund = _refuse

    def retrieve(self, *_: object, **__: object) -> stripe.PaymentIntent:
        found = stripe.PaymentIntent.construct_from(self.intent, "sk_test_x")
        assert isinstance(found, stripe.PaymentIntent)
        return found

    def cancel(self, *_: object, **__: object) -> stripe.PaymentIntent:
        if not self._abandons or self.intent["status"] in {"succeeded", "canceled", "processing"}:
            self._refuse()
        self.intent["status"] = "canceled"
        return self.retrieve()

    def list_refunds(self, *_: object, **__: object) -> list[stripe.Refund]:
        return []


@pytest.fixture
def processor() -> StripeProcessor:
    return StripeProcessor(api_key="sk_test_x")


def _settle(processor: StripeProcessor, call: Call) -> Result:
    """Send, and then recover as the worker does."""
    send = {
        CallKind.PAYMENT: processor.authorize,
        CallKind.CAPTURE: processor.capture,
        CallKind.VOID: processor.void,
        CallKind.REFUND: processor.refund,
    }[call.kind]
    result = send(call)
    for _ in range(3):
        if result.is_final:
            break
        result = processor.look_up(call)
        if result.outcome is Outcome.NOT_FOUND:
            result = send(call)
        elif result.outcome is Outcome.UNCONFIRMED:
            result = processor.abandon(call)
    return result


def _is_true(call: Call, result: Result, intent: Mapping[str, Any]) -> bool:
    """Whether the object shows what a final result says."""
    approved, status = result.outcome is Outcome.APPROVED, intent["status"]
    if call.kind is CallKind.PAYMENT:
        return status in {"succeeded", "requires_capture"} if approved else status == "canceled"
    if call.kind is CallKind.CAPTURE:
        return approved is (intent["amount_received"] == call.amount)
    if call.kind is CallKind.VOID:
        return approved is (status == "canceled")
    return not approved


def _may_stay_open(call: Call, result: Result, status: str, code: str) -> bool:
    ours = code in OUR_FAULT or code.startswith("parameter_") or code == "resource_missing"
    if result.outcome is Outcome.MISCONFIGURED or (ours and status == "processing"):
        return ours
    if call.kind is CallKind.PAYMENT and status in {"processing", "requires_action", "requires_incantation"}:
        return result.outcome in {Outcome.PENDING, Outcome.REQUIRES_ACTION, Outcome.UNKNOWN}
    return code in UNDECIDED and result.outcome in {Outcome.UNKNOWN, Outcome.PENDING}


@pytest.mark.parametrize("kind", CallKind)
@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.removeprefix("requires_")[:12])
def test_every_refusal_ends(
    processor: StripeProcessor, monkeypatch: pytest.MonkeyPatch, kind: CallKind, status: str
) -> None:
    codes = published_codes()
    assert len(codes) > 150
    cases = [(code, "invalid_request_error", 400) for code in codes]
    cases += [(code, "card_error", 402) for code in DECLINES]
    cases += [("", "invalid_request_error", 400), ("code_of_tomorrow", "invalid_request_error", 400)]
    for code, error_type, http_status in cases:
        call = new_call(kind, charge_reference="pi_1")
        refusing = Refusing(call, status, {"type": error_type, "code": code, "message": "-"}, http_status)
        monkeypatch.setattr(processor, "_api", refusing)
        result = _settle(processor, call)
        if result.is_final:
            assert _is_true(call, result, refusing.intent), (code, result)
        else:
            assert _may_stay_open(call, result, status, code), (code, result)


@pytest.mark.parametrize(
    ("received", "metadata", "outcome"),
    [
        (400, {}, Outcome.APPROVED),
        (700, {}, Outcome.DECLINED),
        (700, {"capture_attempt_id": "att_ours"}, Outcome.APPROVED),
        (300, {"capture_attempt_id": "att_other"}, Outcome.DECLINED),
        (0, {"capture_attempt_id": "att_ours"}, Outcome.DECLINED),
    ],
    ids=["ours", "another amount", "ours and another", "another's", "nothing"],
)
def test_captures_made_elsewhere(
    processor: StripeProcessor,
    monkeypatch: pytest.MonkeyPatch,
    received: int,
    metadata: dict[str, str],
    outcome: Outcome,
) -> None:
    call = new_call(CallKind.CAPTURE, charge_reference="pi_1", amount=400, attempt_id="att_ours")
    error = {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}
    refusing = Refusing(call, "succeeded", error, 400)
    refusing.intent.update(amount_received=received, metadata=metadata)
    monkeypatch.setattr(processor, "_api", refusing)
    assert processor.capture(call).outcome is outcome
    assert processor.look_up(call).outcome is outcome
