"""The worker's part of every attempt: what a request left open is settled by asking the processor, never guessed."""

import logging
import time

from payments.domain.operations import PROCESSOR_DEADLINE, Attempt, CallKind, OperationStatus
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import PaymentStatus
from payments.processors.base import Processor
from payments.repositories import attempts, payments
from payments.services.context import Context
from payments.services.execution import Begun, call_for, record, send
from payments.services.payments import begin_operation, begin_void, new_operation_id

_log = logging.getLogger("payments.recovery")
#: Attempts taken at once; each may wait for its processor up to the deadline.
_BATCH = 8


def recover_due(context: Context) -> bool:
    """Settle attempts that are due; answers whether there were any."""
    with context.database.transaction() as tx:
        taken = attempts.take_due(tx, limit=_BATCH)
        tx.commit()
    started = time.monotonic()
    for attempt in taken:
        if time.monotonic() - started < PROCESSOR_DEADLINE.total_seconds():
            settle_taken(context, attempt, started=started)
    return bool(taken)


def settle_now(context: Context, attempt_id: str) -> None:
    """Take one attempt over and settle it, for instance because its customer has just acted."""
    started = time.monotonic()
    with context.database.transaction() as tx:
        attempt = attempts.take(tx, attempt_id)
        tx.commit()
    if attempt is not None:
        settle_taken(context, attempt, started=started)


def settle_taken(context: Context, attempt: Attempt, *, started: float) -> None:
    """Ask what became of an attempt that this process has just taken over, and record it."""
    with context.database.transaction() as tx:
        payment = payments.get_payment(tx, attempt, attempt.payment_id)
        operation = payments.get_operation(tx, attempt, attempt.operation_id) if attempt.operation_id else None
    if payment is None:
        raise LookupError(f"Attempt {attempt.id} has no payment.")
    processor = context.processors.get(attempt.processor)
    if processor is None:
        _log.error("attempt of a processor that is not configured", extra={"attempt": attempt.id})
        return
    begun = Begun(payment=payment, operation=operation, attempt=attempt, started=started)
    result = _find_out(context, processor, begun)
    record(context, attempt, result)
    _log.info(
        "attempt looked up",
        extra={"attempt": attempt.id, "payment": payment.id, "kind": attempt.kind, "outcome": result.outcome},
    )


def _find_out(context: Context, processor: Processor, begun: Begun) -> Result:
    """The truth about an attempt whose former holder can no longer be sending."""
    call = call_for(begun)
    result = processor.look_up(call)
    if result.outcome is Outcome.NOT_FOUND:
        if begun.operation is not None and begun.operation.status is not OperationStatus.PENDING:
            return Result(outcome=Outcome.UNKNOWN, detail="done before, and not found now")
        return _send_again(context, processor, begun)
    waits_too_long = (
        begun.payment.status is PaymentStatus.REQUIRES_ACTION
        and begun.payment.expires_at is not None
        and begun.payment.expires_at <= context.now()
    )
    if result.outcome is Outcome.UNCONFIRMED or (result.outcome is Outcome.REQUIRES_ACTION and waits_too_long):
        return processor.abandon(call_for(begun, reference=result.reference))
    return result


def _send_again(context: Context, processor: Processor, begun: Begun) -> Result:
    """The processor knows nothing of the attempt. That is no evidence; the same attempt, sent again, makes some."""
    validity = processor.capabilities.key_validity
    if validity is not None and context.now() - begun.attempt.created_at >= validity:
        return Result(outcome=Outcome.UNKNOWN, detail="not found, and the processor's key is no longer valid")
    return send(context, processor, begun)


def end_expired_authorizations(context: Context) -> bool:
    """Void payments whose authorization has ended; answers whether there were any."""
    with context.database.transaction() as tx:
        due = payments.expired_authorizations(tx, limit=_BATCH)
    for found in due:
        started = time.monotonic()
        with context.database.transaction() as tx:
            payment = payments.get_payment(tx, found, found.id, lock=True)
            if payment != found or payment is None:
                continue  # something happened to it meanwhile
            changed, operation = begin_void(context, payment, new_operation_id(context, CallKind.VOID))
            begun = begin_operation(tx, context, changed, operation, key_hash=None, started=started)
            tx.commit()
        record(context, begun.attempt, send(context, context.processors[payment.processor], begun))
    return bool(due)
