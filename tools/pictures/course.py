"""What leads a payment from one state to another, found by asking the state machine itself."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import TRANSITIONS, CaptureMethod, Payment, PaymentStatus
from payments.domain.transitions import apply_result, release, resume_after_action

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_AMOUNT, _PART = 1000, 400
_S = PaymentStatus
#: What is authorized and captured in each state.
_AMOUNTS: Mapping[PaymentStatus, tuple[int, int]] = {
    _S.REQUIRES_CAPTURE: (_AMOUNT, 0),
    _S.PARTIALLY_CAPTURED: (_AMOUNT, _PART),
    _S.SUCCEEDED: (_AMOUNT, _AMOUNT),
}


@dataclass(frozen=True, kw_only=True, order=True)
class Trigger:
    """Something that changes a payment's state."""

    #: A kind of call, or what happened without one.
    what: str
    #: What came of the call.
    outcome: str = ""
    #: What of the payment or of the operation it depends on.
    condition: str = ""


def course() -> dict[tuple[PaymentStatus, PaymentStatus], set[Trigger]]:
    """Return every transition, and all that causes it.

    Raises:
        ValueError: Nothing that is known here causes one of them.
    """
    # Not in the order of the table's sets, which is another one in every process.
    found: dict[tuple[PaymentStatus, PaymentStatus], set[Trigger]] = {
        (before, after): set() for before in PaymentStatus for after in PaymentStatus if after in TRANSITIONS[before]
    }
    for before, trigger, after in _every_change():
        # An approval that is learnt before the customer's return goes through `processing`: two transitions in one.
        if (before, after) in found:
            found[before, after].add(trigger)
    if unexplained := [f"{before} to {after}" for (before, after), triggers in found.items() if not triggers]:
        raise ValueError(f"What leads from {', from '.join(sorted(unexplained))}? Tell tools/pictures/course.py.")
    return found


def _every_change() -> Iterator[tuple[PaymentStatus, Trigger, PaymentStatus]]:
    for status, outcome in itertools.product(PaymentStatus, Outcome):
        for method in CaptureMethod:
            if _is_created_in(status):
                trigger = Trigger(what=CallKind.PAYMENT, outcome=outcome, condition=method)
                yield status, trigger, _after(_payment(status, method), None, outcome)
        for kind, amount, final in _operations(status):
            trigger = Trigger(what=kind, outcome=outcome, condition=_condition(status, kind, final=final))
            yield (
                status,
                trigger,
                _after(_payment(status, CaptureMethod.MANUAL), _operation(kind, amount, final), outcome),
            )
    waiting = _payment(_S.REQUIRES_ACTION, CaptureMethod.MANUAL)
    yield waiting.status, Trigger(what="customer acted"), resume_after_action(waiting).status
    for status in (_S.REQUIRES_CAPTURE, _S.PARTIALLY_CAPTURED):
        released = release(_payment(status, CaptureMethod.MANUAL)).payment.status
        yield status, Trigger(what="released by the processor"), released


def _condition(status: PaymentStatus, kind: CallKind, *, final: bool) -> str:
    if kind is CallKind.CAPTURE:
        return "final" if final else "partial"
    return " requested before the customer acted" if status is _S.PROCESSING else ""


def _is_created_in(status: PaymentStatus) -> bool:
    """Whether the attempt that creates a payment can still be open in ``status``."""
    return status in (_S.PROCESSING, _S.REQUIRES_ACTION)


def _operations(status: PaymentStatus) -> Iterator[tuple[CallKind, int, bool]]:
    """Yield the operations that the state allows, and the void that was started before the customer acted."""
    allowed = _payment(status, CaptureMethod.MANUAL).allowed()
    if CallKind.CAPTURE in allowed:
        yield from ((CallKind.CAPTURE, _PART // 2, False), (CallKind.CAPTURE, _PART, True))
    if CallKind.VOID in allowed or status is _S.PROCESSING:
        yield CallKind.VOID, _AMOUNT, True
    if CallKind.REFUND in allowed:
        yield CallKind.REFUND, _PART // 2, True


def _after(payment: Payment, operation: Operation | None, outcome: Outcome) -> PaymentStatus:
    result = Result(outcome=outcome, redirect_url="https://issuer.example")
    changed = apply_result(
        payment, operation, result, now=_NOW, authorization_validity=timedelta(days=7), announced=False
    )
    return changed.payment.status


def _payment(status: PaymentStatus, method: CaptureMethod) -> Payment:
    authorized, captured = _AMOUNTS.get(status, (0, 0))
    return Payment(
        id="pay_1",
        merchant_id="mer_1",
        livemode=False,
        status=status,
        amount=_AMOUNT,
        currency="EUR",
        capture_method=method,
        payment_method="tok_visa",
        reference=None,
        description=None,
        metadata={},
        return_url=None,
        fee_basis_points=0,
        amount_authorized=authorized,
        amount_captured=captured,
        amount_refunded=0,
        amount_refund_pending=0,
        pending_operation=None,
        last_error=None,
        next_action=None,
        processor="sandbox",
        processor_reference=None,
        expires_at=None,
        event_sequence=0,
        api_version="",
        created_at=_NOW,
    )


def _operation(kind: CallKind, amount: int, final: bool) -> Operation:  # noqa: FBT001 - as the state machine has it
    return Operation(
        id="op_1",
        merchant_id="mer_1",
        livemode=False,
        payment_id="pay_1",
        kind=kind,
        status=OperationStatus.PENDING,
        amount=amount,
        final=final,
        reason=None,
        error=None,
        processor_reference=None,
        created_at=_NOW,
        settled_at=None,
    )
