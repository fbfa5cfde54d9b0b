"""The worker's part of every attempt: what a request left open is settled by asking the processor, never guessed."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor

from payments.domain.operations import Attempt, CallKind, OperationStatus, lookup_delay
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import PaymentStatus
from payments.processors.base import Processor
from payments.repositories import attempts, payments
from payments.services.context import Context
from payments.services.execution import InFlightAttempt, call_for, record, send, told
from payments.services.payments import begin_operation, begin_void, new_operation_id

_log = logging.getLogger("payments.recovery")
#: Attempts of one processor that are looked up at once; each may hang until the processor's deadline.
_THREADS = 16
#: Of these, so many are for attempts that were hardly looked at yet: old ones that hang must not keep new ones waiting.
_RESERVED = 6
_BATCH = 100


class Recoverer:
    """Settles due attempts of one processor, each on a thread of its own: one that hangs or fails holds up no other."""

    def __init__(self, context: Context, processor: str, *, threads: int = _THREADS, reserved: int = _RESERVED) -> None:
        self._context = context
        self._processor = processor
        self._threads = threads
        self._reserved = reserved
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"recovery-{processor}")
        self._under_way: set[Future[None]] = set()

    def run(self) -> bool:
        """Start settling what is due, as far as threads are free; answers whether something was started."""
        self._under_way = {future for future in self._under_way if not future.done()}
        free = self._threads - len(self._under_way)
        if free <= 0:
            return False
        started = time.monotonic()  # before the database sets the deadline, so that ours is never the later one
        with self._context.database.transaction() as tx:
            taken = list(attempts.claim_due(tx, processor=self._processor, early=True, limit=free))
            limit = free - len(taken) - self._reserved
            if limit > 0:
                taken += attempts.claim_due(tx, processor=self._processor, early=False, limit=limit)
            tx.commit()
        self._under_way |= {self._pool.submit(self._settle, attempt, started) for attempt in taken}
        return bool(taken)

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(wait=True)

    def _settle(self, attempt: Attempt, started: float) -> None:
        try:
            settle_claimed(self._context, attempt, started=started)
        except Exception as error:  # noqa: BLE001  # logged with its traceback
            # The database or a mistake of ours. A pool would swallow what is not caught here.
            extra = {"attempt_id": attempt.id, "payment_id": attempt.payment_id}
            _log.exception("attempt could not be settled", extra=extra)
            self._reschedule(attempt, type(error).__name__)

    def _reschedule(self, attempt: Attempt, reason: str) -> None:
        """Back off, so that what fails every time is not tried every time; without a database the lease does it."""
        try:
            with self._context.database.tenant_transaction(attempt) as tx:
                attempts.reschedule(tx, attempt, wait=lookup_delay(attempt.looks), reason=f"failed: {reason}")
                tx.commit()
        except Exception:  # noqa: BLE001  # as above
            _log.exception("attempt could not be put off", extra={"attempt_id": attempt.id})


def claim_and_settle(context: Context, attempt_id: str) -> None:
    """Take one attempt over and settle it, for instance because its customer has just acted."""
    started = time.monotonic()
    with context.database.transaction() as tx:
        attempt = attempts.claim(tx, attempt_id)
        tx.commit()
    if attempt is not None:
        settle_claimed(context, attempt, started=started)


def settle_claimed(context: Context, attempt: Attempt, *, started: float) -> None:
    """Ask what became of an attempt that this process has just taken over, and record it."""
    with context.database.tenant_transaction(attempt) as tx:
        payment = payments.get_payment(tx, attempt, attempt.payment_id)
        operation = payments.get_operation(tx, attempt, attempt.operation_id) if attempt.operation_id else None
    if payment is None:
        raise LookupError(f"Attempt {attempt.id} has no payment.")
    in_flight = InFlightAttempt(payment=payment, operation=operation, attempt=attempt, started=started)
    result = _find_out(context, context.processors[attempt.processor], in_flight)
    record(context, attempt, result)
    _log.info(
        "attempt looked up",
        extra={
            "attempt_id": attempt.id,
            "payment_id": payment.id,
            "merchant_id": payment.merchant_id,
            **told(attempt, result),
        },
    )


def _find_out(context: Context, processor: Processor, in_flight: InFlightAttempt) -> Result:
    """The truth about an attempt whose former holder can no longer be sending."""
    call = call_for(in_flight)
    result = processor.look_up(call)
    if result.outcome is Outcome.NOT_FOUND:
        if in_flight.operation is not None and in_flight.operation.status is not OperationStatus.PENDING:
            return Result(outcome=Outcome.UNKNOWN, detail="done before, and not found now")
        return _send_again(context, processor, in_flight)
    waits_too_long = (
        in_flight.payment.status is PaymentStatus.REQUIRES_ACTION
        and in_flight.payment.expires_at is not None
        and in_flight.payment.expires_at <= context.now()
    )
    if result.outcome is Outcome.UNCONFIRMED or (result.outcome is Outcome.REQUIRES_ACTION and waits_too_long):
        return processor.abandon(call_for(in_flight, reference=result.reference))
    return result


def _send_again(context: Context, processor: Processor, in_flight: InFlightAttempt) -> Result:
    """The processor knows nothing of the attempt. That is no evidence; the same attempt, sent again, makes some."""
    validity = processor.capabilities.key_validity
    if validity is not None and context.now() - in_flight.attempt.created_at >= validity:
        return Result(outcome=Outcome.UNKNOWN, detail="not found, and the processor's key is no longer valid")
    return send(context, processor, in_flight)


def end_expired_authorizations(context: Context) -> bool:
    """Begin voids of payments whose authorization has ended; answers whether there were any.

    Recovery sends them, as it does what a request left unsent: no call is made here that could hang.
    """
    configured = list(context.processors)
    with context.database.transaction() as tx:
        due = payments.expired_authorizations(tx, processors=configured, limit=_BATCH)
    for found in due:
        with context.database.tenant_transaction(found) as tx:
            payment = payments.get_payment(tx, found, found.id, lock=True)
            if payment != found or payment is None:
                continue  # something happened to it meanwhile
            changed, operation = begin_void(context, payment, new_operation_id(context, CallKind.VOID))
            begin_operation(tx, context, changed, operation, key_hash=None, started=time.monotonic())
            tx.commit()
    return bool(due)
