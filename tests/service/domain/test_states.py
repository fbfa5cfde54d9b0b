"""A payment says only what is true: every field, in every state that any order of operations and outcomes reaches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from payments.domain.operations import CallKind, Operation
from payments.domain.outcomes import ErrorDetails, Outcome, Result, error_details
from payments.domain.payments import CaptureMethod, OperationNotAllowed, OperationPending, Payment, PaymentStatus
from payments.domain.transitions import resume_after_action
from tests.service.domain.samples import applied, operation, payment

_S = PaymentStatus
_ENDED = (_S.SUCCEEDED, _S.FAILED, _S.CANCELED)
_WAITS_FOR_CAPTURE = (_S.REQUIRES_CAPTURE, _S.PARTIALLY_CAPTURED)
RESULTS = [Result(outcome=outcome, redirect_url="https://acs.example/") for outcome in Outcome]


@dataclass(frozen=True, kw_only=True)
class World:
    """A payment beside what a bystander would remember of it."""

    payment: Payment
    pending: Operation | None = None
    #: Why the latest of creation, captures and voids failed; none while one is in progress and after a success.
    failure: ErrorDetails | None = None

    def next(self) -> Iterator["World"]:
        """Yield what can come next."""
        if self.payment.status in (_S.PROCESSING, _S.REQUIRES_ACTION):
            yield from map(self._created, RESULTS)
        if self.payment.status is _S.REQUIRES_ACTION:
            yield replace(self, payment=resume_after_action(self.payment))
        if self.pending is not None:
            yield from (self._operated(self.pending, result) for result in RESULTS)
        for kind, part, final in (
            (CallKind.CAPTURE, None, True),
            (CallKind.CAPTURE, 1, True),
            (CallKind.CAPTURE, 1, False),
            (CallKind.VOID, None, True),
        ):
            try:
                amount = self.payment.check_capture(part) if kind is CallKind.CAPTURE else self.payment.check_void()
            except (OperationNotAllowed, OperationPending):
                continue
            started = operation(kind, amount, final=final)
            yield World(payment=self.payment.with_pending(kind), pending=started)

    def _created(self, result: Result) -> "World":
        after = applied(self.payment, result, announced=True).payment
        if not result.is_final:
            return replace(self, payment=after)
        abandoned = self.payment.status is _S.REQUIRES_ACTION and result.outcome is not Outcome.DECLINED
        refused = result.outcome is not Outcome.APPROVED and not abandoned
        return replace(self, payment=after, failure=error_details(result) if refused else None)

    def _operated(self, pending: Operation, result: Result) -> "World":
        after = applied(self.payment, result, pending).payment
        if not result.is_final:
            return replace(self, payment=after)
        gone = pending.kind is CallKind.VOID and result.outcome is Outcome.EXPIRED
        failure = None if result.outcome is Outcome.APPROVED or gone else error_details(result)
        # What a payment ended with is not changed by a void that came too late.
        ended = self.payment.status in _ENDED
        return World(payment=after, failure=self.failure if ended else failure)


def worlds(method: CaptureMethod) -> list[World]:
    """Every world that can be reached with a payment of three minor units."""
    found: dict[str, World] = {}
    pending = [World(payment=payment(amount=3, capture_method=method))]
    while pending:
        world = pending.pop()
        if repr(world) not in found:
            found[repr(world)] = world
            pending += world.next()
    return list(found.values())


@pytest.mark.parametrize("method", list(CaptureMethod), ids=str)
def test_a_payment_says_only_what_is_true(method: CaptureMethod) -> None:
    reached = worlds(method)
    assert len(reached) > 10
    for world in reached:
        now = world.payment
        assert now.last_error == world.failure, world
        assert now.status is not _S.FAILED or now.last_error, world
        assert (now.next_action is not None) == (now.status is _S.REQUIRES_ACTION), world
        assert (now.expires_at is not None) == (now.status in (_S.REQUIRES_ACTION, *_WAITS_FOR_CAPTURE)), world
        assert now.pending_operation == (world.pending.kind.value if world.pending else None), world
        left = now.amount_authorized - now.amount_captured
        assert now.amount_capturable == (left if now.status in _WAITS_FOR_CAPTURE else 0), world
        assert (now.amount_capturable > 0) == (now.status in _WAITS_FOR_CAPTURE), world


@pytest.mark.parametrize("method", list(CaptureMethod), ids=str)
def test_a_refund_that_fails_is_not_the_payments_failure(method: CaptureMethod) -> None:
    for world in worlds(method):
        reserved = replace(world.payment, amount_refund_pending=1)
        refused = applied(reserved, Result(outcome=Outcome.DECLINED), operation(CallKind.REFUND, 1))
        assert refused.payment == world.payment
