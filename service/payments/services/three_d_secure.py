"""3-D Secure in the sandbox: the customer's decision, and its consequences."""

from payments.domain.events import EventType
from payments.domain.payments import PaymentStatus
from payments.domain.transitions import resume_after_action
from payments.processors.sandbox import Challenge, SandboxProcessor
from payments.repositories import attempts, payments
from payments.services import events
from payments.services.context import Context
from payments.services.recovery import claim_and_settle


def complete(context: Context, sandbox: SandboxProcessor, challenge: Challenge, token: str, *, approve: bool) -> bool:
    """Take the customer's decision, once, and settle the payment; ``False`` if there was a decision before.

    The payment leaves `requires_action` first: if the process dies in between, the worker asks the sandbox, which
    either knows the decision or requires the customer to act again.
    """
    if not _resume(context, challenge.attempt_id):
        return False
    decided = sandbox.decide(token, approve=approve)
    claim_and_settle(context, challenge.attempt_id)
    return decided


def _resume(context: Context, attempt_id: str) -> bool:
    now = context.now()
    with context.database.transaction() as tx:
        attempt = attempts.get(tx, attempt_id)
        payment = payments.get_payment(tx, attempt, attempt.payment_id, lock=True) if attempt else None
        if attempt is None or payment is None or payment.pending_operation is not None:
            return False
        if payment.status is PaymentStatus.PROCESSING:
            return True  # a second click, or the first one after a crash
        if payment.status is not PaymentStatus.REQUIRES_ACTION:
            return False
        resumed = events.record(tx, resume_after_action(payment), None, (EventType.PAYMENT_PROCESSING,), now=now)
        payments.update_payment(tx, resumed)
        attempts.schedule_lookup(tx, attempt)
        tx.commit()
    return True
