"""A payment's life: in any order of operations and outcomes money is conserved and amounts fit the state."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payments.domain import money
from payments.domain.events import EventType
from payments.domain.ledger import Account
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.domain.payments import (
    TRANSITIONS,
    AmountTooLarge,
    CaptureMethod,
    OperationNotAllowed,
    OperationPending,
    PaymentStatus,
)
from payments.domain.transitions import Transition, Verdict, resume_after_action
from tests.service.domain.samples import AMOUNTS, RATES, applied, operation, payment

RESULTS = st.builds(
    Result,
    outcome=st.sampled_from(list(Outcome)),
    decline_code=st.none() | st.sampled_from(list(DeclineCode)),
    reference=st.none() | st.just("ref"),
)


class Life(RuleBasedStateMachine):
    """Any order of operations and outcomes, with the ledger kept alongside."""

    def __init__(self) -> None:
        super().__init__()
        self.payment = payment()
        self.receivable = self.payable = self.fees = 0
        self.open: dict[int, Operation] = {}
        self.events: list[EventType] = []
        self.count = 0

    @initialize(method=st.sampled_from(list(CaptureMethod)), amount=AMOUNTS, rate=RATES)
    def begin(self, method: CaptureMethod, amount: int, rate: int) -> None:
        self.payment = payment(capture_method=method, amount=amount, fee_basis_points=rate)

    def apply(self, change: Transition) -> None:
        before, self.payment = self.payment, change.payment
        if before.status is not self.payment.status:
            target = self.payment.status
            via_processing = (
                before.status is PaymentStatus.REQUIRES_ACTION and target in TRANSITIONS[PaymentStatus.PROCESSING]
            )
            assert target in TRANSITIONS[before.status] or via_processing
            assert change.events, "no state changes silently"
        for posting in change.postings:
            self.receivable += posting.amount * (posting.debit is Account.PROCESSOR_RECEIVABLE)
            self.receivable -= posting.amount * (posting.credit is Account.PROCESSOR_RECEIVABLE)
            self.payable += posting.amount * (posting.credit is Account.MERCHANT_PAYABLE)
            self.payable -= posting.amount * (posting.debit is Account.MERCHANT_PAYABLE)
            self.fees += posting.amount * (posting.credit is Account.PLATFORM_FEES)
        self.events += change.events

    def result_of(self, result: Result, op: Operation | None = None) -> Transition:
        return applied(self.payment, result, op, announced=bool(self.events))

    @precondition(lambda self: self.payment.status in (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION))
    @rule(result=RESULTS)
    def creation_ends(self, result: Result) -> None:
        self.apply(self.result_of(result))

    @precondition(lambda self: self.payment.status is PaymentStatus.REQUIRES_ACTION)
    @rule()
    def customer_acts(self) -> None:
        self.payment = resume_after_action(self.payment)

    @rule(
        kind=st.sampled_from([CallKind.CAPTURE, CallKind.VOID, CallKind.REFUND]),
        part=st.none() | AMOUNTS,
        final=st.booleans(),
    )
    def operation_starts(self, kind: CallKind, part: int | None, final: bool) -> None:
        try:
            if kind is CallKind.CAPTURE:
                amount = self.payment.check_capture(part)
            else:
                amount = self.payment.check_void() if kind is CallKind.VOID else self.payment.check_refund(part)
        except (OperationNotAllowed, OperationPending, AmountTooLarge):
            return
        self.count += 1
        self.open[self.count] = operation(kind, amount, final=final)
        if kind is CallKind.REFUND:
            self.payment = replace(self.payment, amount_refund_pending=self.payment.amount_refund_pending + amount)
        else:
            self.payment = replace(self.payment, pending_operation=kind.value)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), result=RESULTS)
    def operation_ends(self, data: st.DataObject, result: Result) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        op = self.open[number]
        change = self.result_of(result, op)
        assert change.operation is not None
        self.apply(change)
        if result.is_final:
            assert change.verdict is not Verdict.UNRESOLVED
            assert change.operation.status is not OperationStatus.PENDING
            may_fail_later = op.kind is CallKind.REFUND and change.operation.status is OperationStatus.SUCCEEDED
            if may_fail_later:
                self.open[number] = change.operation
            else:
                del self.open[number]
        else:
            assert change.operation.status is op.status

    @invariant()
    def money_is_conserved(self) -> None:
        now = self.payment
        assert 0 <= now.amount_refunded + now.amount_refund_pending <= now.amount_captured <= now.amount_authorized
        assert now.amount_authorized in (0, now.amount)
        assert self.receivable == now.amount_captured - now.amount_refunded
        assert self.fees == money.share(now.amount_captured, now.fee_basis_points)
        assert self.receivable == self.payable + self.fees

    @invariant()
    def amounts_fit_the_state(self) -> None:
        now = self.payment
        if now.status is PaymentStatus.PARTIALLY_CAPTURED:
            assert 0 < now.amount_captured < now.amount
        if now.status in (PaymentStatus.FAILED, PaymentStatus.CANCELED, PaymentStatus.REQUIRES_CAPTURE):
            assert now.amount_captured == 0
        if now.status is PaymentStatus.SUCCEEDED:
            assert now.amount_captured > 0
        assert (now.next_action is not None) == (now.status is PaymentStatus.REQUIRES_ACTION)
        reserved = sum(
            op.amount
            for op in self.open.values()
            if op.kind is CallKind.REFUND and op.status is OperationStatus.PENDING
        )
        assert now.amount_refund_pending == reserved


TestLife = Life.TestCase
