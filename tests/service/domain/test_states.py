"""A payment says only what is true: every field is walked through every order of operations and outcomes."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payments.domain.operations import CallKind, Operation
from payments.domain.outcomes import ErrorDetails, Outcome, Result, error_details
from payments.domain.payments import OperationNotAllowed, OperationPending, PaymentStatus
from payments.domain.transitions import resume_after_action
from tests.service.domain.samples import applied, operation, payment

_S = PaymentStatus
#: Half of them approved or declined, so that most lives get somewhere.
OUTCOMES = st.sampled_from([Outcome.APPROVED, Outcome.DECLINED]) | st.sampled_from(list(Outcome))
RESULTS = st.builds(Result, outcome=OUTCOMES, redirect_url=st.just("https://acs.example/"))
_WAITS_FOR_CAPTURE = (_S.REQUIRES_CAPTURE, _S.PARTIALLY_CAPTURED)


class States(RuleBasedStateMachine):
    """A payment beside what a bystander would remember of it."""

    def __init__(self) -> None:
        super().__init__()
        self.payment = payment()
        self.pending: Operation | None = None
        #: Why the latest of creation, captures and voids failed; none while one is in progress and after a success.
        self.failure: ErrorDetails | None = None

    @initialize(first=st.sampled_from([Outcome.APPROVED, Outcome.REQUIRES_ACTION]) | OUTCOMES)
    def begin(self, first: Outcome) -> None:
        self.creation_ends(Result(outcome=first, redirect_url="https://acs.example/"))

    @precondition(lambda self: self.payment.status in (_S.PROCESSING, _S.REQUIRES_ACTION))
    @rule(result=RESULTS)
    def creation_goes_on(self, result: Result) -> None:
        self.creation_ends(result)

    def creation_ends(self, result: Result) -> None:
        before, self.payment = self.payment, applied(self.payment, result, announced=True).payment
        if result.is_final:
            abandoned = before.status is _S.REQUIRES_ACTION and result.outcome is not Outcome.DECLINED
            refused = result.outcome is not Outcome.APPROVED and not abandoned
            self.failure = error_details(result) if refused else None

    @precondition(lambda self: self.payment.status is _S.REQUIRES_ACTION)
    @rule()
    def customer_acts(self) -> None:
        self.payment = resume_after_action(self.payment)

    @rule(kind=st.sampled_from([CallKind.CAPTURE, CallKind.VOID]), part=st.none() | st.just(1), final=st.booleans())
    def operation_starts(self, kind: CallKind, part: int | None, final: bool) -> None:
        try:
            amount = self.payment.check_capture(part) if kind is CallKind.CAPTURE else self.payment.check_void()
        except (OperationNotAllowed, OperationPending):
            return
        self.pending = operation(kind, amount, final=final)
        self.payment = self.payment.with_pending(kind)
        self.failure = None

    @precondition(lambda self: self.pending)
    @rule(result=RESULTS)
    def operation_ends(self, result: Result) -> None:
        assert self.pending is not None
        ended = self.payment.status in (_S.SUCCEEDED, _S.FAILED, _S.CANCELED)
        self.payment = applied(self.payment, result, self.pending).payment
        if not result.is_final:
            return
        succeeded = result.outcome is Outcome.APPROVED or (
            result.outcome is Outcome.EXPIRED and self.pending.kind is CallKind.VOID
        )
        if not ended:
            self.failure = None if succeeded else error_details(result)
        self.pending = None

    @rule(amount=st.integers(1, 1000))
    def refund_fails(self, amount: int) -> None:
        """A refund's failure is the refund's, not the payment's."""
        reserved = replace(self.payment, amount_refund_pending=amount)
        refused = applied(reserved, Result(outcome=Outcome.DECLINED), operation(CallKind.REFUND, amount))
        assert refused.payment == self.payment

    @invariant()
    def last_error_is_of_the_latest_operation(self) -> None:
        assert self.payment.last_error == self.failure
        if self.payment.status is _S.FAILED:
            assert self.payment.last_error is not None

    @invariant()
    def next_action_and_expiry_belong_to_states_that_wait(self) -> None:
        now = self.payment
        assert (now.next_action is not None) == (now.status is _S.REQUIRES_ACTION)
        assert (now.expires_at is not None) == (now.status in (_S.REQUIRES_ACTION, *_WAITS_FOR_CAPTURE))

    @invariant()
    def a_pending_operation_is_in_progress(self) -> None:
        assert self.payment.pending_operation == (self.pending.kind.value if self.pending else None)

    @invariant()
    def what_can_be_captured_is_authorized_and_not_captured(self) -> None:
        now = self.payment
        left = now.amount_authorized - now.amount_captured
        assert now.amount_capturable == (left if now.status in _WAITS_FOR_CAPTURE else 0)
        assert (now.amount_capturable > 0) == (now.status in _WAITS_FOR_CAPTURE)


TestStates = States.TestCase
