"""3-D Secure in the sandbox: the customer's decision, and its consequences."""

from payments.domain.events import EventType
from payments.domain.payments import Payment, PaymentStatus
from payments.domain.transitions import resume_after_action
from payments.processors.sandbox import Challenge, SandboxProcessor
from payments.repositories import attempts, payments
from payments.services import events
from payments.services.context import Context
from payments.services.recovery import claim_and_settle


def complete(context: Context, sandbox: SandboxProcessor, challenge: Challenge, token: str, *, approve: bool) -> None:
    """Take the customer's decision and settle the payment, unless there was a decision before, or it has ended.

    The payment leaves `requires_action` first: if the process dies in between, the worker asks the sandbox, which
    either knows the decision or requires the customer to act again.
    """
    if challenge.is_open and _resume(context, challenge.attempt_id):
        sandbox.decide(token, approve=approve)
        claim_and_settle(context, challenge.attempt_id)


def payment_of(context: Context, challenge: Challenge) -> Payment:
    """Return the payment that the page ``challenge`` is about, as it is now.

    Raises:
        LookupError: There is none, though a payment is kept longer than its page.
    """
    with context.database.transaction() as tx:
        attempt = attempts.get(tx, challenge.attempt_id)
        payment = payments.get_payment(tx, attempt, attempt.payment_id) if attempt else None
    if payment is None:
        raise LookupError(f"The attempt {challenge.attempt_id} has no payment.")
    return payment


def _resume(context: Context, attempt_id: str) -> bool:
    """Return whether the decision may be taken: the payment waits for it, or a process died before it was stored."""
    now = context.now()
    with context.database.transaction() as tx:
        attempt = attempts.get(tx, attempt_id)
        payment = payments.get_payment(tx, attempt, attempt.payment_id, lock=True) if attempt else None
        if attempt is None or payment is None or payment.pending_operation is not None:
            return False
        if payment.status is PaymentStatus.PROCESSING:
            return True
        if payment.status is not PaymentStatus.REQUIRES_ACTION:
            return False
        resumed = events.record(tx, resume_after_action(payment), None, (EventType.PAYMENT_PROCESSING,), now=now)
        payments.update_payment(tx, resumed)
        attempts.schedule_lookup(tx, attempt)
        tx.commit()
    return True
