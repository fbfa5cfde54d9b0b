"""Objects as merchants see them: in answers, in events, and in what is kept under an Idempotency-Key."""

import json
from datetime import datetime
from typing import Any

from payments.core.problems import PaymentFailed
from payments.domain.operations import Operation
from payments.domain.outcomes import Advice
from payments.domain.payments import Payment

#: What the detail of a refusal says to do.
ADVICE_WORDS = {
    Advice.TRY_AGAIN_LATER: "The same may succeed later, under a new Idempotency-Key.",
    Advice.USE_ANOTHER_METHOD: "Ask the customer for another payment method.",
    Advice.CONTACT_ISSUER: "Ask the customer to contact the issuer, or for another payment method.",
    Advice.CORRECT_DETAILS: "Ask the customer to correct the details.",
    Advice.DO_NOT_RETRY: "Do not try again.",
}


def timestamp(moment: datetime) -> int:
    """Seconds since 1970, as every time in the API."""
    return int(moment.timestamp())


def payment_json(payment: Payment) -> dict[str, Any]:
    """A payment."""
    return {
        "id": payment.id,
        "object": "payment",
        "status": payment.status.value,
        "amount": payment.amount,
        "currency": payment.currency,
        "amount_authorized": payment.amount_authorized,
        "amount_capturable": payment.amount_capturable,
        "amount_captured": payment.amount_captured,
        "amount_refunded": payment.amount_refunded,
        "amount_refund_pending": payment.amount_refund_pending,
        "payment_method": payment.payment_method,
        "capture_method": payment.capture_method.value,
        "reference": payment.reference,
        "description": payment.description,
        "metadata": payment.metadata,
        "return_url": payment.return_url,
        "pending_operation": payment.pending_operation,
        "last_error": payment.last_error,
        "next_action": payment.next_action,
        "created": timestamp(payment.created_at),
        "livemode": payment.livemode,
    }


def refund_json(refund: Operation, currency: str) -> dict[str, Any]:
    """A refund."""
    return {
        "id": refund.id,
        "object": "refund",
        "status": refund.status.value,
        "payment": refund.payment_id,
        "amount": refund.amount,
        "currency": currency,
        "reason": refund.reason,
        "last_error": refund.error,
        "created": timestamp(refund.created_at),
        "livemode": refund.livemode,
    }


def refusal_json(
    payment: Payment, error: dict[str, Any], *, refund: Operation | None, request_id: str
) -> dict[str, Any]:
    """The problem that answers what a processor refused."""
    members: dict[str, Any] = {name: error[name] for name in ("decline_code", "advice", "retryable")}
    if refund is not None:
        members["refund"] = refund_json(refund, payment.currency)
    did = "failed and did nothing" if error["code"] == "processor_error" else "refused"
    detail = f"The processor {did}: {error['decline_code']}. {ADVICE_WORDS[Advice(error['advice'])]}"
    return PaymentFailed(detail, **members, payment=payment_json(payment)).body(request_id)


def dumps(value: dict[str, Any]) -> str:
    """JSON as it is sent, kept and delivered."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
