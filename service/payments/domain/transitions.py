"""What an outcome means for payment, operation, ledger and events: the outcome table of the API, as pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from payments.domain.events import EventType
from payments.domain.ledger import Posting, capture_postings, refund_postings, refund_reversal_postings
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import DeclineCode, Outcome, Result, advice_for, is_retryable
from payments.domain.payments import TRANSITIONS, CaptureMethod, Payment, PaymentStatus

#: How long a customer may take to act.
ACTION_VALIDITY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Transition:
    """All that one outcome changes, written in one transaction."""

    payment: Payment
    operation: Operation | None = None
    postings: tuple[Posting, ...] = ()
    events: tuple[EventType, ...] = ()
    #: Whether the attempt needs no more looks.
    settled: bool
    #: Status of the HTTP answer: 202 is never stored, all others are final.
    status: int

    @property
    def response_is_final(self) -> bool:
        """Whether the answer is kept under the key."""
        return self.status != _ACCEPTED


_OK, _CREATED, _ACCEPTED, _REFUSED = 200, 201, 202, 402
_S = PaymentStatus
_CODES = {
    Outcome.DECLINED: "card_declined",
    Outcome.NOT_DONE: "processor_error",
    Outcome.EXPIRED: "authorization_expired",
}
_REACHED: Mapping[PaymentStatus, EventType] = {
    _S.PROCESSING: EventType.PAYMENT_PROCESSING,
    _S.REQUIRES_ACTION: EventType.PAYMENT_REQUIRES_ACTION,
    _S.REQUIRES_CAPTURE: EventType.PAYMENT_AUTHORIZED,
    _S.PARTIALLY_CAPTURED: EventType.PAYMENT_PARTIALLY_CAPTURED,
    _S.SUCCEEDED: EventType.PAYMENT_SUCCEEDED,
    _S.FAILED: EventType.PAYMENT_FAILED,
    _S.CANCELED: EventType.PAYMENT_CANCELED,
}


def settle_payment(
    payment: Payment, result: Result, *, now: datetime, authorization_validity: timedelta, announced: bool
) -> Transition:
    """The outcome of making a payment. ``announced``: an event has told already that the outcome is open."""
    if result.outcome is Outcome.APPROVED:
        return _authorized(payment, result, now + authorization_validity)
    if result.is_final:
        return _not_authorized(payment, result)
    if result.outcome is Outcome.REQUIRES_ACTION:
        return _action_required(payment, result, now + ACTION_VALIDITY)
    events = () if announced else (EventType.PAYMENT_PROCESSING,)
    return Transition(payment=_with_reference(payment, result), events=events, settled=False, status=_ACCEPTED)


def _authorized(payment: Payment, result: Result, expires_at: datetime) -> Transition:
    automatic = payment.capture_method is CaptureMethod.AUTOMATIC
    # A customer who acted is back in `processing` while the processor is asked; nothing is authorized twice.
    payment = _step(payment, _S.PROCESSING)
    changed = replace(
        _step(_with_reference(payment, result), _S.SUCCEEDED if automatic else _S.REQUIRES_CAPTURE),
        amount_authorized=payment.amount,
        amount_captured=payment.amount if automatic else 0,
        expires_at=None if automatic else expires_at,
        next_action=None,
    )
    postings: tuple[Posting, ...] = ()
    if automatic:
        postings = capture_postings(captured_before=0, amount=payment.amount, fee_basis_points=payment.fee_basis_points)
    return Transition(
        payment=changed, postings=postings, events=(_REACHED[changed.status],), settled=True, status=_CREATED
    )


def _not_authorized(payment: Payment, result: Result) -> Transition:
    # A customer who never acted gave nothing up: the payment is canceled, not failed.
    abandoned = payment.status is _S.REQUIRES_ACTION and result.outcome is not Outcome.DECLINED
    changed = replace(
        _step(_with_reference(payment, result), _S.CANCELED if abandoned else _S.FAILED),
        last_error=None if abandoned else failure(result),
        next_action=None,
        expires_at=None,
    )
    return Transition(payment=changed, events=(_REACHED[changed.status],), settled=True, status=_REFUSED)


def _action_required(payment: Payment, result: Result, expires_at: datetime) -> Transition:
    if payment.status is _S.REQUIRES_ACTION:
        return Transition(payment=payment, settled=False, status=_CREATED)
    changed = replace(
        _step(_with_reference(payment, result), _S.REQUIRES_ACTION),
        next_action={"type": "redirect_to_url", "redirect_to_url": {"url": result.redirect_url}},
        expires_at=expires_at,
    )
    return Transition(payment=changed, events=(EventType.PAYMENT_REQUIRES_ACTION,), settled=False, status=_CREATED)


def settle_capture(payment: Payment, operation: Operation, result: Result, *, now: datetime) -> Transition:
    """The outcome of a capture."""
    if result.outcome is Outcome.APPROVED:
        captured = payment.amount_captured + operation.amount
        done = operation.final or captured == payment.amount_authorized
        changed = replace(
            _step(payment, _S.SUCCEEDED if done else _S.PARTIALLY_CAPTURED),
            amount_captured=captured,
            pending_operation=None,
            expires_at=None if done else payment.expires_at,
        )
        return Transition(
            payment=changed,
            operation=_succeeded(operation, result, now),
            postings=capture_postings(
                captured_before=payment.amount_captured,
                amount=operation.amount,
                fee_basis_points=payment.fee_basis_points,
            ),
            events=(_REACHED[changed.status],),
            settled=True,
            status=_OK,
        )
    if not result.is_final:
        return _operation_open(payment, operation, result)
    changed = replace(payment, pending_operation=None)
    events: tuple[EventType, ...] = (EventType.PAYMENT_CAPTURE_FAILED,)
    if result.outcome is Outcome.EXPIRED:
        changed = _released(changed)
        events = (*events, _REACHED[changed.status])
    return Transition(
        payment=replace(changed, last_error=failure(result)),
        operation=_failed(operation, result, now),
        events=events,
        settled=True,
        status=_REFUSED,
    )


def settle_void(payment: Payment, operation: Operation, result: Result, *, now: datetime) -> Transition:
    """The outcome of a void, asked for by the merchant or by an authorization's end."""
    if result.outcome in (Outcome.APPROVED, Outcome.EXPIRED):
        # The creation may have ended by itself meanwhile (declined, expired): nothing is left to release, or to tell.
        over = not TRANSITIONS[payment.status]
        changed = replace(payment if over else _released(payment), pending_operation=None)
        return Transition(
            payment=changed,
            operation=_succeeded(operation, result, now),
            events=() if over else (_REACHED[changed.status],),
            settled=True,
            status=_OK,
        )
    if not result.is_final:
        return _operation_open(payment, operation, result)
    return Transition(
        payment=replace(payment, pending_operation=None, last_error=failure(result)),
        operation=_failed(operation, result, now),
        events=(EventType.PAYMENT_VOID_FAILED,),
        settled=True,
        status=_REFUSED,
    )


def settle_refund(
    payment: Payment, operation: Operation, result: Result, *, now: datetime, announced: bool
) -> Transition:
    """The outcome of a refund, whose amount is reserved on the payment."""
    if operation.status is not OperationStatus.PENDING:
        return _settle_refund_again(payment, operation, result, now=now)
    if not result.is_final:
        change = _operation_open(payment, operation, result)
        return change if announced else replace(change, events=(EventType.REFUND_PENDING,))
    freed = replace(payment, amount_refund_pending=payment.amount_refund_pending - operation.amount)
    if result.outcome is Outcome.APPROVED:
        return Transition(
            payment=replace(freed, amount_refunded=payment.amount_refunded + operation.amount),
            operation=_succeeded(operation, result, now),
            postings=refund_postings(operation.amount),
            events=(EventType.REFUND_SUCCEEDED,),
            settled=True,
            status=_CREATED,
        )
    return Transition(
        payment=freed,
        operation=_failed(operation, result, now),
        events=(EventType.REFUND_FAILED,),
        settled=True,
        status=_REFUSED,
    )


def _settle_refund_again(payment: Payment, operation: Operation, result: Result, *, now: datetime) -> Transition:
    """A refund that had succeeded may fail after all, for instance because the customer's account was closed."""
    failed = result.is_final and result.outcome is not Outcome.APPROVED
    if operation.status is not OperationStatus.SUCCEEDED or not failed:
        return Transition(payment=payment, operation=operation, settled=result.is_final, status=_CREATED)
    return Transition(
        payment=replace(payment, amount_refunded=payment.amount_refunded - operation.amount),
        operation=_failed(operation, result, now),
        postings=refund_reversal_postings(operation.amount),
        events=(EventType.REFUND_FAILED,),
        settled=True,
        status=_REFUSED,
    )


def resume_after_action(payment: Payment) -> Payment:
    """The customer has acted; the processor is asked what came of it."""
    return replace(_step(payment, _S.PROCESSING), next_action=None, expires_at=None)


def failure(result: Result) -> dict[str, Any]:
    """A refusal as merchants see it, in a vocabulary that no processor can change."""
    code = result.decline_code
    if code is None:
        expired = result.outcome is Outcome.EXPIRED
        fallback = DeclineCode.GENERIC_DECLINE if result.outcome is Outcome.DECLINED else DeclineCode.PROCESSING_ERROR
        code = DeclineCode.AUTHORIZATION_EXPIRED if expired else fallback
    return {
        "code": _CODES[result.outcome],
        "decline_code": code.value,
        "advice": advice_for(code).value,
        "retryable": is_retryable(code),
    }


def _released(payment: Payment) -> Payment:
    """Without what was authorized and not captured."""
    target = _S.SUCCEEDED if payment.amount_captured else _S.CANCELED
    return replace(_step(payment, target), expires_at=None, next_action=None)


def _operation_open(payment: Payment, operation: Operation, result: Result) -> Transition:
    known = replace(operation, processor_reference=result.reference or operation.processor_reference)
    return Transition(payment=payment, operation=known, settled=False, status=_ACCEPTED)


def _succeeded(operation: Operation, result: Result, now: datetime) -> Operation:
    return replace(
        operation,
        status=OperationStatus.SUCCEEDED,
        processor_reference=result.reference or operation.processor_reference,
        settled_at=now,
    )


def _failed(operation: Operation, result: Result, now: datetime) -> Operation:
    return replace(
        operation,
        status=OperationStatus.FAILED,
        processor_reference=result.reference or operation.processor_reference,
        error=failure(result),
        settled_at=now,
    )


def _with_reference(payment: Payment, result: Result) -> Payment:
    return replace(payment, processor_reference=result.reference or payment.processor_reference)


def _step(payment: Payment, target: PaymentStatus) -> Payment:
    """``payment`` in another state. A change that the state machine does not have is a mistake of ours."""
    if target is payment.status:
        return payment
    if target not in TRANSITIONS[payment.status]:
        raise AssertionError(f"{payment.status} -> {target} is no transition")
    return replace(payment, status=target)


def settle(
    payment: Payment,
    operation: Operation | None,
    kind: CallKind,
    result: Result,
    *,
    now: datetime,
    authorization_validity: timedelta,
    announced: bool,
) -> Transition:
    """The outcome of an attempt of any kind."""
    if operation is None:
        return settle_payment(
            payment, result, now=now, authorization_validity=authorization_validity, announced=announced
        )
    if kind is CallKind.CAPTURE:
        return settle_capture(payment, operation, result, now=now)
    if kind is CallKind.VOID:
        return settle_void(payment, operation, result, now=now)
    return settle_refund(payment, operation, result, now=now, announced=announced)
