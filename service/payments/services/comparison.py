"""The comparison of one locked payment with a processor's snapshot of it, and the postings and events that follow."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from payments.domain import disputes as dispute_states
from payments.domain.disputes import Dispute, DisputeChange
from payments.domain.ids import Prefix, new_id
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import Payment
from payments.domain.snapshots import (
    Captured,
    Contradiction,
    DisputeSnapshot,
    PaymentSnapshot,
    RefundSnapshot,
    payment_difference,
    refund_differs,
)
from payments.domain.transitions import Transition, apply_result, release
from payments.repositories import disputes, external_attempts, ledger, payments
from payments.repositories.connection import Connection
from payments.repositories.external_attempts import RefundAttempt
from payments.repositories.ledger import NewTransfer
from payments.services import events
from payments.services.context import Context
from payments.services.execution import save
from payments.services.presentation import dispute_json

#: The reason of captures and refunds made elsewhere.
EXTERNAL_REASON = "external"
_DISPUTE = "dispute"
#: Far enough for the identifiers of one step to sort before those of the next.
_STEP = timedelta(microseconds=10)


class Comparison:
    """Books everything that differs, as far as it can be booked; the caller has locked the payment, and commits."""

    def __init__(self, tx: Connection, context: Context, payment: Payment, snapshot: PaymentSnapshot) -> None:
        self._tx = tx
        self._validity = context.processors[payment.processor].capabilities.authorization_validity
        self._payment = payment
        self._snapshot = snapshot
        self._now = context.now()
        #: What was booked.
        self.changes: list[str] = []
        #: Differences that open attempts of ours could explain.
        self.waiting: list[str] = []
        #: Differences that nothing explains.
        self.contradictions: list[str] = []

    def run(self) -> None:
        """Compare the state of the payment, then its refunds, then its disputes."""
        self._attempt(self._compare_payment)
        if self.waiting or self.contradictions:
            return  # its amounts are not established
        known = external_attempts.refunds_of(self._tx, self._payment, self._payment.id)
        pairs = [(found, _match(found, known)) for found in self._snapshot.refunds]
        # Those in our books first: one that has failed makes room for a later one.
        for found, refund in sorted(pairs, key=lambda pair: pair[1] is None):
            self._attempt(partial(self._compare_refund, found, refund, known))
        by_reference = {
            dispute.processor_reference: dispute
            for dispute in disputes.of_payment(self._tx, self._payment, self._payment.id)
        }
        for case in self._snapshot.disputes:
            self._attempt(partial(self._compare_dispute, case, by_reference.get(case.reference)))

    def _attempt(self, compare: Callable[[], None]) -> None:
        try:
            compare()
        except Contradiction as finding:
            self.contradictions.append(str(finding))

    # ---- the payment
    def _compare_payment(self) -> None:
        payment, snapshot = self._payment, self._snapshot
        try:
            difference = payment_difference(payment, snapshot)
        except Contradiction:
            if payment.pending_operation is None:
                raise
            self.waiting.append(f"a {payment.pending_operation} is in progress")
            return
        if difference is None:
            return
        if payment.pending_operation is not None or not payment.amount_authorized:
            self.waiting.append(f"a {payment.pending_operation or 'payment'} is in progress")
        elif isinstance(difference, Captured):
            self._capture(difference)
        else:
            self._save("", release(payment))
            self.changes.append("released")

    def _capture(self, captured: Captured) -> None:
        operation = self._operation(CallKind.CAPTURE, captured.amount, final=captured.final)
        attempt_id = self._insert(operation, reference=None)
        result = Result(outcome=Outcome.APPROVED, reference=self._snapshot.charge_reference)
        self._apply(attempt_id, self._payment, operation, result)
        self.changes.append(f"captured {captured.amount}")

    # ---- refunds
    def _compare_refund(
        self, found: RefundSnapshot, known: RefundAttempt | None, all_known: Sequence[RefundAttempt]
    ) -> None:
        if found.currency != self._payment.currency:
            raise Contradiction(f"refund {found.reference} is in {found.currency}, not {self._payment.currency}")
        if known is None:
            self._refund_elsewhere(found, all_known)
        elif refund_differs(known.refund, found):
            if known.open:
                self.waiting.append(f"refund {known.refund.id} has yet to be looked up")
                return
            self._apply(known.attempt_id, self._payment, known.refund, found.result)
            self.changes.append(f"refund {known.refund.id} {found.result.outcome}")

    def _refund_elsewhere(self, found: RefundSnapshot, all_known: Sequence[RefundAttempt]) -> None:
        if found.attempt_id is not None:
            raise Contradiction(f"refund {found.reference} names the attempt {found.attempt_id}, which is not known")
        if found.result.outcome is Outcome.UNKNOWN:
            raise Contradiction(f"refund {found.reference}: {found.result.detail}")
        if found.result.outcome not in (Outcome.APPROVED, Outcome.PENDING):
            return  # it failed before we knew it, and moved nothing
        if found.amount > self._payment.amount_refundable:
            if any(known.open for known in all_known):
                self.waiting.append("refunds in progress have reserved what was refunded elsewhere")
                return
            raise Contradiction(
                f"refund {found.reference} is of {found.amount}; only {self._payment.amount_refundable} is left"
            )
        refund = self._operation(CallKind.REFUND, found.amount)
        attempt_id = self._insert(refund, reference=found.reference)
        pending = self._payment.amount_refund_pending + found.amount
        self._apply(attempt_id, replace(self._payment, amount_refund_pending=pending), refund, found.result)
        self.changes.append(f"refunded {found.amount}")

    # ---- disputes
    def _compare_dispute(self, found: DisputeSnapshot, known: Dispute | None) -> None:
        if known is not None:
            self._save_dispute(dispute_states.follow(known, found))
            return
        if self._payment.amount_captured == 0:
            raise Contradiction(f"dispute {found.reference} is about a payment that has taken no money")
        dispute = Dispute(
            id=new_id(Prefix.DISPUTE, self._now),
            merchant_id=self._payment.merchant_id,
            livemode=self._payment.livemode,
            payment_id=self._payment.id,
            status=dispute_states.status_of(found),
            amount=found.amount,
            currency=self._payment.currency,
            reason=found.reason,
            respond_by=found.respond_by,
            processor=self._payment.processor,
            processor_reference=found.reference,
            attempt_id=new_id(Prefix.ATTEMPT, self._now),
            amount_withdrawn=0,
            amount_returned=0,
            fee=0,
            fee_returned=0,
            fee_currency=None,
            created_at=self._now,
        )
        change = dispute_states.opened(dispute, found)
        self._insert_attempt(dispute.attempt_id, kind=_DISPUTE, operation_id=None, reference=found.reference)
        self._save_dispute(change)

    def _save_dispute(self, change: DisputeChange) -> None:
        if not change.events:
            return
        self._now += _STEP
        dispute = change.dispute
        transfers = []
        for index, (currency, posting) in enumerate(change.postings):
            transfer_id = new_id(Prefix.TRANSFER, self._now + timedelta(microseconds=index))
            transfers.append(NewTransfer(id=transfer_id, currency=currency, posting=posting))
        ledger.insert(self._tx, dispute, transfers, payment_id=dispute.payment_id, attempt_id=dispute.attempt_id)
        disputes.save(self._tx, dispute)
        subject = dispute_json(dispute)
        self._payment = events.record_subject(self._tx, self._payment, subject, change.events, now=self._now)
        payments.update_payment(self._tx, self._payment)
        self.changes.append(f"dispute {dispute.id} {dispute.status}")

    # ---- rows
    def _operation(self, kind: CallKind, amount: int, *, final: bool = True) -> Operation:
        self._now += _STEP
        prefix = Prefix.CAPTURE if kind is CallKind.CAPTURE else Prefix.REFUND
        return Operation(
            id=new_id(prefix, self._now),
            merchant_id=self._payment.merchant_id,
            livemode=self._payment.livemode,
            payment_id=self._payment.id,
            kind=kind,
            status=OperationStatus.PENDING,
            amount=amount,
            final=final,
            reason=EXTERNAL_REASON,
            error=None,
            processor_reference=None,
            created_at=self._now,
            settled_at=None,
        )

    def _insert(self, operation: Operation, *, reference: str | None) -> str:
        payments.insert_operation(self._tx, operation)
        attempt_id = new_id(Prefix.ATTEMPT, self._now)
        self._insert_attempt(attempt_id, kind=operation.kind, operation_id=operation.id, reference=reference)
        return attempt_id

    def _insert_attempt(self, attempt_id: str, *, kind: str, operation_id: str | None, reference: str | None) -> None:
        external_attempts.insert(
            self._tx,
            self._payment,
            attempt_id=attempt_id,
            payment_id=self._payment.id,
            operation_id=operation_id,
            kind=kind,
            processor=self._payment.processor,
            reference=reference,
        )

    def _apply(self, attempt_id: str, payment: Payment, operation: Operation, result: Result) -> None:
        transition = apply_result(
            payment,
            operation,
            result,
            now=self._now,
            authorization_validity=self._validity,
            announced=False,
        )
        self._save(attempt_id, transition)

    def _save(self, attempt_id: str, transition: Transition) -> None:
        self._now += _STEP
        self._payment = save(self._tx, self._payment, attempt_id, self._payment, transition, now=self._now)


def _match(found: RefundSnapshot, known: Sequence[RefundAttempt]) -> RefundAttempt | None:
    """Return our refund that the processor's ``found`` is, by its id or by the attempt it names."""
    return next(
        (refund for refund in known if found.reference == refund.reference or found.attempt_id == refund.attempt_id),
        None,
    )
