"""The state machine: what the result of an attempt changes in a payment, the ledger and the events.

This is the outcome table of the API, as pure functions. A result that is not final changes little: nothing is guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from payments.domain.events import EventType
from payments.domain.ledger import Posting, capture_postings, refund_postings, refund_reversal_postings
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import Outcome, Result, error_details
from payments.domain.payments import TRANSITIONS, CaptureMethod, Payment, PaymentStatus

#: How long a customer has to act.
ACTION_VALIDITY = timedelta(hours=24)
#: When the void of an expired authorization is tried again after a refusal.
VOID_AGAIN_AFTER = timedelta(hours=24)


class Verdict(Enum):
    """How the request that started an attempt has fared."""

    #: Carried out, or handed over to the customer (3-D Secure).
    COMPLETED = auto()
    #: Refused by the processor, or certainly not done.
    REFUSED = auto()
    #: Still open: the only verdict that can change.
    UNRESOLVED = auto()


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Everything that one result changes, written in one transaction."""

    payment: Payment
    operation: Operation | None = None
    postings: tuple[Posting, ...] = ()
    events: tuple[EventType, ...] = ()
    verdict: Verdict


_S = PaymentStatus
_STATUS_EVENTS: Mapping[PaymentStatus, EventType] = {
    _S.PROCESSING: EventType.PAYMENT_PROCESSING,
    _S.REQUIRES_ACTION: EventType.PAYMENT_REQUIRES_ACTION,
    _S.REQUIRES_CAPTURE: EventType.PAYMENT_AUTHORIZED,
    _S.PARTIALLY_CAPTURED: EventType.PAYMENT_PARTIALLY_CAPTURED,
    _S.SUCCEEDED: EventType.PAYMENT_SUCCEEDED,
    _S.FAILED: EventType.PAYMENT_FAILED,
    _S.CANCELED: EventType.PAYMENT_CANCELED,
}


def apply_result(
    payment: Payment,
    operation: Operation | None,
    result: Result,
    *,
    now: datetime,
    authorization_validity: timedelta,
    announced: bool,
) -> Transition:
    """Return what the result of an attempt changes.

    ``operation`` is ``None`` for the attempt that creates the payment. ``announced`` says whether an event has already
    reported that the outcome is open.
    """
    if operation is None:
        return _apply_to_payment(payment, result, now, authorization_validity, announced=announced)
    if operation.kind is CallKind.CAPTURE:
        return _apply_to_capture(payment, operation, result, now)
    if operation.kind is CallKind.VOID:
        return _apply_to_void(payment, operation, result, now)
    if operation.status is not OperationStatus.PENDING:
        return _apply_to_ended_refund(payment, operation, result, now)
    return _apply_to_refund(payment, operation, result, now, announced=announced)


def resume_after_action(payment: Payment) -> Payment:
    """Return ``payment`` once its customer has acted: the processor is asked for the outcome."""
    return replace(payment, status=_next(payment, _S.PROCESSING), next_action=None, expires_at=None)


def release(payment: Payment) -> Transition:
    """Return what the release of the authorization changes that the processor has made on its own."""
    changed = _released(payment)
    return Transition(payment=changed, events=(_STATUS_EVENTS[changed.status],), verdict=Verdict.COMPLETED)


def _apply_to_payment(
    payment: Payment, result: Result, now: datetime, authorization_validity: timedelta, *, announced: bool
) -> Transition:
    if result.outcome is Outcome.APPROVED:
        return _authorized(payment, result, now + authorization_validity)
    if result.is_final:
        return _not_authorized(payment, result)
    if result.outcome is Outcome.REQUIRES_ACTION and payment.status is _S.REQUIRES_ACTION:
        return Transition(payment=payment, verdict=Verdict.COMPLETED)
    # Without a URL there is nothing that a customer could do: it is not resolved until the worker has abandoned it.
    if result.outcome is Outcome.REQUIRES_ACTION and result.redirect_url:
        return _action_required(payment, result, result.redirect_url, now + ACTION_VALIDITY)
    events = () if announced else (EventType.PAYMENT_PROCESSING,)
    unresolved = replace(payment, processor_reference=_reference(payment, result))
    return Transition(payment=unresolved, events=events, verdict=Verdict.UNRESOLVED)


def _authorized(payment: Payment, result: Result, expires_at: datetime) -> Transition:
    automatic = payment.capture_method is CaptureMethod.AUTOMATIC
    # A customer who acted is back in `processing` while the processor is asked; nothing is authorized twice.
    if payment.status is not _S.PROCESSING:
        payment = replace(payment, status=_next(payment, _S.PROCESSING))
    changed = replace(
        payment,
        status=_next(payment, _S.SUCCEEDED if automatic else _S.REQUIRES_CAPTURE),
        processor_reference=_reference(payment, result),
        amount_authorized=payment.amount,
        amount_captured=payment.amount if automatic else 0,
        expires_at=None if automatic else expires_at,
        last_error=None,  # of a void that was refused while the customer acted
        next_action=None,
    )
    postings: tuple[Posting, ...] = ()
    if automatic:
        postings = capture_postings(captured_before=0, amount=payment.amount, fee_basis_points=payment.fee_basis_points)
    return Transition(
        payment=changed, postings=postings, events=(_STATUS_EVENTS[changed.status],), verdict=Verdict.COMPLETED
    )


def _not_authorized(payment: Payment, result: Result) -> Transition:
    # Nothing was refused to a customer who never acted: the payment is canceled, not failed.
    abandoned = payment.status is _S.REQUIRES_ACTION and result.outcome is not Outcome.DECLINED
    changed = replace(
        payment,
        status=_next(payment, _S.CANCELED if abandoned else _S.FAILED),
        processor_reference=_reference(payment, result),
        last_error=None if abandoned else error_details(result),
        next_action=None,
        expires_at=None,
    )
    return Transition(payment=changed, events=(_STATUS_EVENTS[changed.status],), verdict=Verdict.REFUSED)


def _action_required(payment: Payment, result: Result, url: str, expires_at: datetime) -> Transition:
    changed = replace(
        payment,
        status=_next(payment, _S.REQUIRES_ACTION),
        processor_reference=_reference(payment, result),
        next_action={"type": "redirect_to_url", "redirect_to_url": {"url": url}},
        expires_at=expires_at,
    )
    return Transition(payment=changed, events=(EventType.PAYMENT_REQUIRES_ACTION,), verdict=Verdict.COMPLETED)


def _apply_to_capture(payment: Payment, operation: Operation, result: Result, now: datetime) -> Transition:
    if not result.is_final:
        return _unresolved(payment, operation, result)
    if result.outcome is Outcome.APPROVED:
        return _captured(payment, operation, result, now)
    changed = replace(payment, pending_operation=None)
    events: tuple[EventType, ...] = (EventType.PAYMENT_CAPTURE_FAILED,)
    if result.outcome is Outcome.EXPIRED:
        changed = _released(changed)
        events = (*events, _STATUS_EVENTS[changed.status])
    return _refused(replace(changed, last_error=error_details(result)), operation, result, now, events)


def _captured(payment: Payment, operation: Operation, result: Result, now: datetime) -> Transition:
    captured = payment.amount_captured + operation.amount
    complete = operation.final or captured == payment.amount_authorized
    changed = replace(
        payment,
        status=_next(payment, _S.SUCCEEDED if complete else _S.PARTIALLY_CAPTURED),
        amount_captured=captured,
        pending_operation=None,
        last_error=None,
        expires_at=None if complete else payment.expires_at,
    )
    return Transition(
        payment=changed,
        operation=_succeeded(operation, result, now),
        postings=capture_postings(
            captured_before=payment.amount_captured,
            amount=operation.amount,
            fee_basis_points=payment.fee_basis_points,
        ),
        events=(_STATUS_EVENTS[changed.status],),
        verdict=Verdict.COMPLETED,
    )


def _apply_to_void(payment: Payment, operation: Operation, result: Result, now: datetime) -> Transition:
    """Apply the result of a void, requested by the merchant or by the authorization's expiry."""
    if not result.is_final:
        return _unresolved(payment, operation, result)
    # The payment may have ended meanwhile (declined, completed, expired): then there is nothing to release or to
    # announce, and what it ended with stays true.
    ended = not TRANSITIONS[payment.status]
    if result.outcome not in (Outcome.APPROVED, Outcome.EXPIRED):
        last_error = payment.last_error if ended else error_details(result)
        changed = replace(payment, pending_operation=None, last_error=last_error)
        if changed.expires_at is not None and changed.expires_at <= now:
            # Voided for its expiry. What has become of it instead will be learnt; until then, not at every turn.
            changed = replace(changed, expires_at=now + VOID_AGAIN_AFTER)
        return _refused(changed, operation, result, now, (EventType.PAYMENT_VOID_FAILED,))
    changed = replace(payment if ended else replace(_released(payment), last_error=None), pending_operation=None)
    return Transition(
        payment=changed,
        operation=_succeeded(operation, result, now),
        events=() if ended else (_STATUS_EVENTS[changed.status],),
        verdict=Verdict.COMPLETED,
    )


def _apply_to_refund(
    payment: Payment, operation: Operation, result: Result, now: datetime, *, announced: bool
) -> Transition:
    """Apply the result of a refund, whose amount is reserved on the payment."""
    if not result.is_final:
        unresolved = _unresolved(payment, operation, result)
        return unresolved if announced else replace(unresolved, events=(EventType.REFUND_PENDING,))
    freed = replace(payment, amount_refund_pending=payment.amount_refund_pending - operation.amount)
    if result.outcome is not Outcome.APPROVED:
        return _refused(freed, operation, result, now, (EventType.REFUND_FAILED,))
    return Transition(
        payment=replace(freed, amount_refunded=payment.amount_refunded + operation.amount),
        operation=_succeeded(operation, result, now),
        postings=refund_postings(operation.amount),
        events=(EventType.REFUND_SUCCEEDED,),
        verdict=Verdict.COMPLETED,
    )


def _apply_to_ended_refund(payment: Payment, operation: Operation, result: Result, now: datetime) -> Transition:
    """Reverse a refund that failed after it had succeeded, for instance because the customer's account was closed."""
    failed = result.is_final and result.outcome is not Outcome.APPROVED
    if operation.status is not OperationStatus.SUCCEEDED or not failed:
        return Transition(payment=payment, operation=operation, verdict=Verdict.COMPLETED)
    changed = replace(payment, amount_refunded=payment.amount_refunded - operation.amount)
    refused = _refused(changed, operation, result, now, (EventType.REFUND_FAILED,))
    return replace(refused, postings=refund_reversal_postings(operation.amount))


def _unresolved(payment: Payment, operation: Operation, result: Result) -> Transition:
    known = replace(operation, processor_reference=_reference(operation, result))
    return Transition(payment=payment, operation=known, verdict=Verdict.UNRESOLVED)


def _refused(
    payment: Payment, operation: Operation, result: Result, now: datetime, events: tuple[EventType, ...]
) -> Transition:
    failed = replace(
        operation,
        status=OperationStatus.FAILED,
        processor_reference=_reference(operation, result),
        error=error_details(result),
        settled_at=now,
    )
    return Transition(payment=payment, operation=failed, events=events, verdict=Verdict.REFUSED)


def _succeeded(operation: Operation, result: Result, now: datetime) -> Operation:
    return replace(
        operation,
        status=OperationStatus.SUCCEEDED,
        processor_reference=_reference(operation, result),
        settled_at=now,
    )


def _released(payment: Payment) -> Payment:
    """Return ``payment`` without what is authorized but not captured."""
    target = _S.SUCCEEDED if payment.amount_captured else _S.CANCELED
    return replace(payment, status=_next(payment, target), expires_at=None, next_action=None)


def _reference(holder: Payment | Operation, result: Result) -> str | None:
    return result.reference or holder.processor_reference


def _next(payment: Payment, target: PaymentStatus) -> PaymentStatus:
    """Return ``target``, which ``payment`` is in or can reach. A transition that does not exist is a bug."""
    if target is not payment.status and target not in TRANSITIONS[payment.status]:
        raise AssertionError(f"There is no transition from {payment.status} to {target}.")
    return target
