"""Recovery: what a request left open is settled by asking the processor, and never guessed."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from payments.domain.operations import Attempt, CallKind, OperationStatus, lookup_delay
from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.domain.payments import PaymentStatus
from payments.processors.base import Processor
from payments.repositories import attempts, database, payments
from payments.services.context import Context
from payments.services.execution import InFlightAttempt, call_for, log_outcome, record, send
from payments.services.payments import new_operation_id, start_operation, start_void

_log = logging.getLogger("payments.recovery")
_BATCH = 100


def claim_due(context: Context, processor: str, *, limit: int, reserved: int) -> Sequence[Attempt]:
    """Claim up to ``limit`` due attempts of ``processor``, of which ``reserved`` are for new ones.

    Attempts that were looked up repeatedly get only the rest: old ones that hang must not keep new ones waiting. They
    wait while the circuit is open: to ask in vain would put the next look-up off, beyond the end of an outage.
    """
    with context.database.transaction() as tx:
        claimed = list(attempts.claim_due(tx, processor=processor, early=True, limit=limit))
        rest = limit - len(claimed) - reserved
        if rest > 0 and context.processors[processor].is_available():
            claimed += attempts.claim_due(tx, processor=processor, early=False, limit=rest)
        tx.commit()
    return claimed


def claim_and_settle(context: Context, attempt_id: str) -> None:
    """Claim one attempt and settle it now, for instance because its customer has just acted."""
    started = time.monotonic()
    with context.database.transaction() as tx:
        attempt = attempts.claim(tx, attempt_id)
        tx.commit()
    if attempt is not None:
        settle_claimed(context, attempt, started=started)


def settle_claimed(context: Context, attempt: Attempt, *, started: float) -> None:
    """Find out the outcome of an attempt that this process has claimed, and record it.

    ``started`` is a time before the claim, on the monotonic clock.
    """
    with context.database.tenant_transaction(attempt) as tx:
        payment = payments.get_payment(tx, attempt, attempt.payment_id)
        operation = payments.get_operation(tx, attempt, attempt.operation_id) if attempt.operation_id else None
        now = database.now(tx)
    if payment is None:
        raise LookupError(f"Attempt {attempt.id} has no payment.")
    in_flight = InFlightAttempt(payment=payment, operation=operation, attempt=attempt, started=started)
    result = _find_out(context, context.processors[attempt.processor], in_flight, now)
    record(context, attempt, result)
    _log.info(
        "attempt looked up",
        extra={
            "attempt_id": attempt.id,
            "payment_id": payment.id,
            "merchant_id": payment.merchant_id,
            **log_outcome(attempt, result),
        },
    )


def reschedule(context: Context, attempt: Attempt, *, reason: str) -> None:
    """Back off from a claimed attempt that could not be settled because of a failure of ours."""
    with context.database.tenant_transaction(attempt) as tx:
        attempts.reschedule(tx, attempt, delay=lookup_delay(attempt.lookups), reason=f"failed: {reason}")
        tx.commit()


def _find_out(context: Context, processor: Processor, in_flight: InFlightAttempt, now: datetime) -> Result:
    """Return the outcome of an attempt whose former holder can no longer be sending it; ``now`` is the database's."""
    payment, operation = in_flight.payment, in_flight.operation
    result = processor.look_up(call_for(in_flight))
    if result.outcome is Outcome.NOT_FOUND:
        if operation is not None and operation.status is not OperationStatus.PENDING:
            return Result(outcome=Outcome.UNKNOWN, detail="it had succeeded, and is not found now")
        return _send_again(context, processor, in_flight, now)
    if result.outcome is Outcome.REQUIRES_ACTION and payment.status is not PaymentStatus.REQUIRES_ACTION:
        if result.redirect_url is not None:
            return result
        abandoned = processor.abandon(call_for(in_flight, reference=result.reference))
        return replace(abandoned, decline_code=abandoned.decline_code or DeclineCode.AUTHENTICATION_FAILED)
    action_expired = payment.expires_at is not None and payment.expires_at <= now
    if result.outcome is Outcome.UNCONFIRMED or (result.outcome is Outcome.REQUIRES_ACTION and action_expired):
        return processor.abandon(call_for(in_flight, reference=result.reference))
    return result


def _send_again(context: Context, processor: Processor, in_flight: InFlightAttempt, now: datetime) -> Result:
    """Send an attempt that the processor does not know: that is no evidence, but the same attempt creates some."""
    validity = processor.capabilities.key_validity
    if validity is not None and now - in_flight.attempt.created_at >= validity:
        return Result(outcome=Outcome.UNKNOWN, detail="not found, and the processor's key is no longer valid")
    return send(context, processor, in_flight)


def void_expired_authorizations(context: Context) -> bool:
    """Start voids of payments whose authorization has expired; returns whether there were any.

    Recovery sends them like anything that a request left unsent: nothing is called here that could hang.
    """
    with context.database.transaction() as tx:
        expired = payments.expired_authorizations(tx, processors=list(context.processors), limit=_BATCH)
    for found in expired:
        with context.database.tenant_transaction(found) as tx:
            payment = payments.get_payment(tx, found, found.id, lock=True)
            if payment != found or payment is None:
                continue  # it has changed meanwhile
            changed, operation = start_void(context, payment, new_operation_id(context, CallKind.VOID))
            start_operation(tx, context, changed, operation, key_hash=None, started=time.monotonic())
            tx.commit()
    return bool(expired)
