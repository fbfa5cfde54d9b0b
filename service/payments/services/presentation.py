"""Payments, refunds and disputes as merchants see them: in responses, in events, and in stored responses."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payments.core.problems import PaymentFailed
from payments.domain.disputes import Dispute
from payments.domain.operations import CallKind, Operation
from payments.domain.outcomes import Advice, ErrorDetails
from payments.domain.payments import Payment

#: A JSON object of the API, whose members have types of their own.
Json = dict[str, Any]
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
#: What the detail of a refusal recommends.
ADVICE_TEXTS = {
    Advice.TRY_AGAIN_LATER: "The same request may succeed later, with a new Idempotency-Key.",
    Advice.USE_ANOTHER_METHOD: "Ask the customer for another payment method.",
    Advice.CONTACT_ISSUER: "Ask the customer to contact the card issuer, or for another payment method.",
    Advice.CORRECT_DETAILS: "Ask the customer to correct the card details.",
    Advice.DO_NOT_RETRY: "Do not retry.",
}


def timestamp(moment: datetime) -> int:
    """Return ``moment`` in seconds since 1970, as every time in the API."""
    return int(moment.timestamp())


def payment_json(payment: Payment) -> Json:
    """Return a payment as JSON."""
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


def refund_json(refund: Operation, currency: str) -> Json:
    """Return a refund as JSON."""
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


def dispute_json(dispute: Dispute) -> Json:
    """Return a dispute as JSON."""
    return {
        "id": dispute.id,
        "object": "dispute",
        "status": dispute.status.value,
        "payment": dispute.payment_id,
        "amount": dispute.amount,
        "currency": dispute.currency,
        "reason": dispute.reason,
        "respond_by": timestamp(dispute.respond_by) if dispute.respond_by else None,
        "amount_withdrawn": dispute.amount_withdrawn,
        "amount_returned": dispute.amount_returned,
        "created": timestamp(dispute.created_at),
        "livemode": dispute.livemode,
    }


def subject_json(payment: Payment, operation: Operation | None) -> Json:
    """Return what a request or an event is about: the refund if ``operation`` is one, else the payment."""
    if operation is not None and operation.kind is CallKind.REFUND:
        return refund_json(operation, payment.currency)
    return payment_json(payment)


def refusal_json(payment: Payment, operation: Operation | None, error: ErrorDetails, *, request_id: str) -> Json:
    """Return the problem for what a processor refused."""
    members: Json = {
        "decline_code": error["decline_code"],
        "advice": error["advice"],
        "retryable": error["retryable"],
    }
    if operation is not None and operation.kind is CallKind.REFUND:
        members["refund"] = refund_json(operation, payment.currency)
    reason = "failed without doing anything" if error["code"] == "processor_error" else "declined"
    detail = f"The processor {reason}: {error['decline_code']}. {ADVICE_TEXTS[Advice(error['advice'])]}"
    return PaymentFailed(detail, **members, payment=payment_json(payment)).body(request_id)


def dumps(value: Mapping[str, object]) -> str:
    """Return the JSON text that is sent, stored and delivered."""
    return _COMPACT.encode(value)
