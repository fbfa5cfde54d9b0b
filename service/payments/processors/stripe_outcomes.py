"""What Stripe's objects and refusals say about an attempt. Pure functions: nothing is requested here."""

from collections.abc import Iterable
from typing import Any

import stripe

from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors.base import Call, CallKind
from payments.processors.stripe_api import RequestRefused

#: Metadata key that names the attempt that created an object.
ATTEMPT_METADATA = "attempt_id"
_DECLINES: dict[str, DeclineCode] = {
    "insufficient_funds": DeclineCode.INSUFFICIENT_FUNDS,
    "expired_card": DeclineCode.EXPIRED_CARD,
    "incorrect_cvc": DeclineCode.INCORRECT_CVC,
    "invalid_cvc": DeclineCode.INCORRECT_CVC,
    "lost_card": DeclineCode.LOST_CARD,
    "stolen_card": DeclineCode.STOLEN_CARD,
    "pickup_card": DeclineCode.STOLEN_CARD,
    "fraudulent": DeclineCode.FRAUDULENT,
    "do_not_honor": DeclineCode.DO_NOT_HONOR,
    "card_not_supported": DeclineCode.CARD_NOT_SUPPORTED,
    "currency_not_supported": DeclineCode.CURRENCY_NOT_SUPPORTED,
    "authentication_required": DeclineCode.AUTHENTICATION_FAILED,
    "payment_intent_authentication_failure": DeclineCode.AUTHENTICATION_FAILED,
    "card_velocity_exceeded": DeclineCode.LIMIT_EXCEEDED,
    "withdrawal_count_limit_exceeded": DeclineCode.LIMIT_EXCEEDED,
    "amount_too_large": DeclineCode.LIMIT_EXCEEDED,
    "amount_too_small": DeclineCode.LIMIT_EXCEEDED,
    "issuer_not_available": DeclineCode.PROCESSING_ERROR,
    "try_again_later": DeclineCode.PROCESSING_ERROR,
    "processing_error": DeclineCode.PROCESSING_ERROR,
}


def classify(call: Call, intent: stripe.PaymentIntent) -> Result:
    """Return what a PaymentIntent says about an attempt."""
    if call.kind is CallKind.CAPTURE:
        return _classify_capture(call, intent)
    if call.kind is CallKind.VOID:
        return _classify_void(intent)
    return _classify_payment(intent)


def _classify_payment(intent: stripe.PaymentIntent) -> Result:
    outcomes = {
        "succeeded": Outcome.APPROVED,
        "requires_capture": Outcome.APPROVED,
        "processing": Outcome.PENDING,
        "requires_confirmation": Outcome.UNCONFIRMED,
        # Declined, but it could be confirmed again until it is cancelled.
        "requires_payment_method": Outcome.UNCONFIRMED,
    }
    if intent.status in outcomes:
        return Result(outcome=outcomes[intent.status], reference=intent.id, detail=f"PaymentIntent {intent.status}")
    if intent.status == "requires_action":
        return Result(outcome=Outcome.REQUIRES_ACTION, reference=intent.id, redirect_url=_redirect(intent))
    if intent.status == "canceled":
        return _classify_canceled(intent)
    return unknown_result(intent.id, f"PaymentIntent {intent.status}")


def _classify_canceled(intent: stripe.PaymentIntent) -> Result:
    """Classify a PaymentIntent canceled before it took money: declined if a card was refused, otherwise not done."""
    error: object = intent.last_payment_error  # Any: the SDK declares no codes on it
    if error is None:
        return Result(outcome=Outcome.NOT_DONE, reference=intent.id, detail="PaymentIntent canceled")
    code = _first_known(str(getattr(error, "decline_code", "")), str(getattr(error, "code", "")))
    return Result(outcome=Outcome.DECLINED, reference=intent.id, decline_code=code, detail="PaymentIntent canceled")


def _classify_capture(call: Call, intent: stripe.PaymentIntent) -> Result:
    """Classify a capture: one is in progress at a time, so the change of ``amount_received`` is due to this one."""
    received = intent.amount_received - call.amount_captured
    if received == call.amount:
        return Result(outcome=Outcome.APPROVED, reference=str(intent.latest_charge), detail=f"received {received}")
    if received == 0 and intent.status == "canceled":
        return Result(
            outcome=Outcome.EXPIRED, decline_code=DeclineCode.AUTHORIZATION_EXPIRED, detail="PaymentIntent canceled"
        )
    if intent.status == "succeeded":
        return Result(outcome=Outcome.DECLINED, detail=f"PaymentIntent succeeded, {received} received")
    if received == 0:
        return Result(outcome=Outcome.NOT_FOUND, detail=f"PaymentIntent {intent.status}, nothing received")
    return unknown_result(intent.id, f"received {received} instead of {call.amount}")


def _classify_void(intent: stripe.PaymentIntent) -> Result:
    if intent.status == "canceled":
        return Result(outcome=Outcome.APPROVED, reference=intent.id, detail="PaymentIntent canceled")
    if intent.status == "succeeded":
        return Result(outcome=Outcome.DECLINED, detail="PaymentIntent succeeded, and can only be refunded")
    if intent.status == "requires_capture":
        return Result(outcome=Outcome.NOT_FOUND, detail="PaymentIntent still requires_capture")
    return unknown_result(intent.id, f"PaymentIntent {intent.status} instead of canceled")


def find_refund(call: Call, refunds: Iterable[stripe.Refund]) -> Result:
    """Return the result of the refund that carries the id of ``call``'s attempt."""
    for refund in refunds:
        metadata: Any = refund.metadata  # Any: the SDK declares a dict, and returns an object
        if metadata is not None and metadata.to_dict().get(ATTEMPT_METADATA) == call.attempt_id:
            return refund_result(refund)
    return Result(outcome=Outcome.NOT_FOUND, detail="no refund carries this attempt's id")


def refund_result(refund: stripe.Refund) -> Result:
    """Return what the status of a refund says."""
    if refund.status == "succeeded":
        return Result(outcome=Outcome.APPROVED, reference=refund.id)
    if refund.status in {"pending", "requires_action"}:
        return Result(outcome=Outcome.PENDING, reference=refund.id, detail=f"refund {refund.status}")
    if refund.status in {"failed", "canceled"}:
        return Result(
            outcome=Outcome.DECLINED,
            reference=refund.id,
            decline_code=DeclineCode.REFUND_REFUSED,
            detail=f"refund {refund.status}: {getattr(refund, 'failure_reason', None) or 'no reason given'}",
        )
    return unknown_result(refund.id, f"refund {refund.status}")


def _redirect(intent: stripe.PaymentIntent) -> str | None:
    """Return where to redirect the customer; ``None`` if only Stripe's own script could, which we do not serve."""
    redirect = getattr(intent.next_action, "redirect_to_url", None)
    url = getattr(redirect, "url", None)
    return str(url) if url else None


def _first_known(*codes: str) -> DeclineCode:
    """Return our name for the first of Stripe's ``codes`` that has one."""
    return next((_DECLINES[code] for code in codes if code in _DECLINES), DeclineCode.GENERIC_DECLINE)


def decline_code(refused: RequestRefused) -> DeclineCode:
    """Return our name for the reason of a refusal."""
    if refused.is_decline:
        return _first_known(refused.decline_code, refused.code)
    return _DECLINES.get(refused.code, DeclineCode.PROCESSING_ERROR)


def describe(refused: RequestRefused) -> str:
    """Describe a refusal for the log: with Stripe's codes, not its prose."""
    return f"refused: {refused.decline_code or refused.code or 'no code'}"


def unknown_result(reference: str | None, detail: str) -> Result:
    """Return a result that establishes nothing."""
    return Result(outcome=Outcome.UNKNOWN, reference=reference, detail=detail)
