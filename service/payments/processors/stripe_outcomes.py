"""What Stripe's objects and refusals say about an attempt. Pure functions: nothing is requested here.

A refusal (``refused``) proves that the request did nothing and never will: with the object as it is now, that is an
outcome. Without one, an object that shows no trace of the attempt proves nothing: ``NOT_FOUND``, and it is sent again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import stripe

from payments.domain.outcomes import Advice, DeclineCode, Outcome, Result
from payments.processors.base import Call, CallKind
from payments.processors.stripe_amounts import to_stripe
from payments.processors.stripe_reasons import Reason

#: Metadata key that names the attempt that created an object.
ATTEMPT_METADATA = "attempt_id"
#: Metadata key that names the attempt that captured a PaymentIntent.
CAPTURE_METADATA = "capture_attempt_id"
#: Codes of a refund for which the balance with Stripe does not suffice, which a later one may find filled up.
_NO_BALANCE = frozenset({"balance_insufficient", "insufficient_funds"})


def classify(call: Call, intent: stripe.PaymentIntent, refused: Reason | None = None) -> Result:
    """Return what a PaymentIntent says about an attempt, which Stripe has refused if ``refused`` is given."""
    if call.kind is CallKind.CAPTURE:
        return _classify_capture(call, intent, refused)
    if call.kind is CallKind.VOID:
        return _classify_void(intent, refused)
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
    error = intent.last_payment_error
    if error is None:
        return Result(outcome=Outcome.NOT_DONE, reference=intent.id, detail="PaymentIntent canceled")
    return refused_payment(Reason.of(error.to_dict()), reference=intent.id)


def refused_payment(reason: Reason, *, reference: str | None = None) -> Result:
    """Return the result of a payment that was refused and cannot be confirmed any more."""
    explanation = reason.explain()
    return Result(
        outcome=Outcome.DECLINED if reason.is_decline else Outcome.NOT_DONE,
        reference=reference,
        decline_code=explanation.decline_code,
        advice=explanation.advice,
        detail=reason.describe(),
    )


def misconfigured(reason: Reason, *, reference: str | None = None) -> Result:
    """Return the result of a call that was refused for a fault of our own."""
    return Result(outcome=Outcome.MISCONFIGURED, reference=reference, detail=reason.describe())


def _classify_capture(call: Call, intent: stripe.PaymentIntent, refused: Reason | None) -> Result:
    """Classify a capture: one is in progress at a time, so the change of ``amount_received`` is due to this one.

    An amount that fits no capture of ours was captured elsewhere, unless the metadata says that this one is in it.
    """
    amount, captured = to_stripe(call.amount, call.currency), to_stripe(call.amount_captured, call.currency)
    received = intent.amount_received - captured
    detail = f"PaymentIntent {intent.status}, {received} received"
    if received == amount or (received > 0 and _metadata(intent).get(CAPTURE_METADATA) == call.attempt_id):
        return Result(outcome=Outcome.APPROVED, reference=str(intent.latest_charge), detail=detail)
    if intent.status == "canceled":
        return Result(outcome=Outcome.EXPIRED, decline_code=DeclineCode.AUTHORIZATION_EXPIRED, detail=detail)
    if intent.status == "succeeded":
        return Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.ALREADY_CAPTURED, detail=detail)
    if refused is not None:
        return _refused_operation(refused)
    if intent.status == "processing":
        return Result(outcome=Outcome.PENDING, detail=detail)
    return Result(outcome=Outcome.NOT_FOUND, detail=detail)


def _classify_void(intent: stripe.PaymentIntent, refused: Reason | None) -> Result:
    """Classify a void. What has succeeded can never be cancelled again: it can only be refunded."""
    detail = f"PaymentIntent {intent.status}"
    if intent.status == "canceled":
        return Result(outcome=Outcome.APPROVED, reference=intent.id, detail=detail)
    if intent.status == "succeeded":
        return Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.ALREADY_CAPTURED, detail=detail)
    return Result(outcome=Outcome.NOT_FOUND, detail=detail) if refused is None else _refused_operation(refused)


def _refused_operation(reason: Reason) -> Result:
    explanation = reason.explain()
    expired = explanation.decline_code is DeclineCode.AUTHORIZATION_EXPIRED
    return Result(
        outcome=Outcome.EXPIRED if expired else Outcome.DECLINED,
        decline_code=explanation.decline_code,
        advice=explanation.advice,
        detail=reason.describe(),
    )


def refused_refund(reason: Reason) -> Result:
    """Return the result of a refund that Stripe refused."""
    if reason.code in _NO_BALANCE:
        return _failed_refund(Advice.TRY_AGAIN_LATER, reason.describe())
    explanation = reason.explain()
    if explanation.decline_code in {DeclineCode.INVALID_REQUEST, DeclineCode.GENERIC_DECLINE}:
        return _failed_refund(explanation.advice, reason.describe())
    return Result(
        outcome=Outcome.DECLINED,
        decline_code=explanation.decline_code,
        advice=explanation.advice,
        detail=reason.describe(),
    )


def _failed_refund(advice: Advice, detail: str, *, reference: str | None = None) -> Result:
    return Result(
        outcome=Outcome.DECLINED,
        reference=reference,
        decline_code=DeclineCode.REFUND_REFUSED,
        advice=advice,
        detail=detail,
    )


def find_refund(call: Call, refunds: Iterable[stripe.Refund]) -> Result:
    """Return the result of the refund that carries the id of ``call``'s attempt."""
    for refund in refunds:
        if _metadata(refund).get(ATTEMPT_METADATA) == call.attempt_id:
            return refund_result(refund)
    return Result(outcome=Outcome.NOT_FOUND, detail="no refund carries this attempt's id")


def refund_result(refund: stripe.Refund) -> Result:
    """Return what the status of a refund says."""
    if refund.status == "succeeded":
        return Result(outcome=Outcome.APPROVED, reference=refund.id)
    if refund.status in {"pending", "requires_action"}:
        return Result(outcome=Outcome.PENDING, reference=refund.id, detail=f"refund {refund.status}")
    if refund.status in {"failed", "canceled"}:
        reason = getattr(refund, "failure_reason", None) or "no reason given"
        advice = Advice.TRY_AGAIN_LATER if reason in _NO_BALANCE else Advice.DO_NOT_RETRY
        return _failed_refund(advice, f"refund {refund.status}: {reason}", reference=refund.id)
    return unknown_result(refund.id, f"refund {refund.status}")


def _metadata(found: stripe.PaymentIntent | stripe.Refund) -> Mapping[str, str]:
    metadata: Any = found.metadata  # Any: the SDK declares a dict, and returns an object
    return {} if metadata is None else dict(metadata.to_dict())


def _redirect(intent: stripe.PaymentIntent) -> str | None:
    """Return where to redirect the customer; ``None`` if only Stripe's own script could, which we do not serve."""
    redirect = getattr(intent.next_action, "redirect_to_url", None)
    url = getattr(redirect, "url", None)
    return str(url) if url else None


def unknown_result(reference: str | None, detail: str) -> Result:
    """Return a result that establishes nothing."""
    return Result(outcome=Outcome.UNKNOWN, reference=reference, detail=detail)
