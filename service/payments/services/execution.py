"""The processor call and the transaction that records its outcome (Tx2), for requests and for the worker alike.

No transaction is open while a processor is called. What Tx2 writes is fenced by the attempt's generation: if the
attempt was taken over meanwhile, nothing is written and whoever took it over records the outcome.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from payments.domain.ids import Prefix, new_id
from payments.domain.operations import (
    PROCESSOR_DEADLINE,
    STUCK_AFTER,
    Attempt,
    CallKind,
    Operation,
    lookup_delay,
)
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.transitions import Transition, settle
from payments.observability import logs, timing
from payments.processors.base import Call, Processor
from payments.repositories import attempts, idempotency, ledger, payments
from payments.repositories.database import Connection, DatabaseUnavailable
from payments.services import events
from payments.services.context import Context
from payments.services.idempotency import ApiResponse
from payments.services.presentation import dumps, payment_json, refund_json, refusal_json

_log = logging.getLogger("payments.execution")
_ACCEPTED = 202
#: Apart in time by this, identifiers made in one transaction sort in the order of making.
_TICK = timedelta(microseconds=1)
#: Tries of Tx2, which is safe to repeat: a second one finds the attempt settled by the first.
_RECORD_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class InFlightAttempt:
    """What Tx1 committed, and when by this process's clock it was begun: deadlines count from there."""

    payment: Payment
    operation: Operation | None
    attempt: Attempt
    started: float

    def time_left(self) -> float:
        """Seconds until nobody may send any more. This process began before the database set the deadline."""
        return self.started + PROCESSOR_DEADLINE.total_seconds() - time.monotonic()


def execute(context: Context, in_flight: InFlightAttempt) -> ApiResponse:
    """Send the attempt, record its outcome, and answer."""
    processor = context.processors[in_flight.attempt.processor]
    result = send(context, processor, in_flight)
    try:
        response = record(context, in_flight.attempt, result)
    except (psycopg.Error, DatabaseUnavailable) as error:
        # The processor was called and we cannot write down what it said. The worker will ask it.
        _log.error("outcome not recorded", exc_info=error, extra=_named(in_flight.attempt))
        response = None
    return response or _accepted(in_flight.payment, in_flight.operation)


def send(context: Context, processor: Processor, in_flight: InFlightAttempt) -> Result:
    """Ask the processor, committing the id of an object that has to be prepared before it is confirmed."""
    call, kind = call_for(in_flight), in_flight.attempt.kind
    if call.timeout <= 0:
        return Result(outcome=Outcome.UNKNOWN, detail="deadline passed before sending")
    started = time.monotonic()
    try:
        with timing.span("processor"):
            if kind is CallKind.PAYMENT:
                return _authorize(context, processor, in_flight, call)
            if kind is CallKind.CAPTURE:
                return processor.capture(call)
            return processor.void(call) if kind is CallKind.VOID else processor.refund(call)
    finally:
        context.metrics.sample("ProcessorLatency", (time.monotonic() - started) * 1000, unit="Milliseconds")


def _authorize(context: Context, processor: Processor, in_flight: InFlightAttempt, call: Call) -> Result:
    if not processor.capabilities.prepares:
        return processor.authorize(call)
    reference = call.reference
    if reference is None:
        prepared = processor.prepare(call)
        if prepared.outcome is not Outcome.PREPARED or prepared.reference is None:
            return prepared
        reference = prepared.reference
        with context.database.tenant_transaction(in_flight.attempt) as tx:
            kept = attempts.store_reference(tx, in_flight.attempt, reference)
            tx.commit()
        if not kept:
            return Result(outcome=Outcome.UNKNOWN, reference=reference, detail="taken over before confirmation")
    timeout = in_flight.time_left()
    if timeout <= 0:
        return Result(outcome=Outcome.UNKNOWN, reference=reference, detail="deadline passed before confirmation")
    return processor.authorize(call_for(in_flight, reference=reference))


def call_for(in_flight: InFlightAttempt, *, reference: str | None = None) -> Call:
    """The attempt as the processor sees it."""
    payment, operation, attempt = in_flight.payment, in_flight.operation, in_flight.attempt
    own = reference or attempt.processor_reference
    is_payment = operation is None
    return Call(
        kind=attempt.kind,
        attempt_id=attempt.id,
        payment_id=payment.id,
        merchant_id=payment.merchant_id,
        livemode=payment.livemode,
        amount=payment.amount if operation is None else operation.amount,
        currency=payment.currency,
        payment_method=payment.payment_method,
        timeout=in_flight.time_left(),
        final=payment.capture_method is CaptureMethod.AUTOMATIC if operation is None else operation.final,
        charge_reference=own if is_payment else payment.processor_reference,
        reference=own,
        amount_captured=payment.amount_captured,
        return_url=payment.return_url,
        description=payment.description,
        reason=None if operation is None else operation.reason,
        attempted_at=attempt.created_at,
    )


def record(context: Context, attempt: Attempt, result: Result, *, evidence: str = "") -> ApiResponse | None:
    """Tx2, tried again while the database fails over.

    ``None`` if the attempt was taken over or settled meanwhile.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return _record_once(context, attempt, result, evidence=evidence)
        except (psycopg.OperationalError, DatabaseUnavailable):
            if tries == _RECORD_TRIES:
                raise
            time.sleep(0.1)


def _record_once(context: Context, attempt: Attempt, result: Result, *, evidence: str) -> ApiResponse | None:
    now = context.now()
    with context.database.tenant_transaction(attempt) as tx:
        # Lock order everywhere: key, payment, operation, attempt, ledger, outbox.
        key = attempt.idempotency_key_hash and idempotency.get(tx, attempt, attempt.idempotency_key_hash, lock=True)
        payment = payments.get_payment(tx, attempt, attempt.payment_id, lock=True)
        operation = (
            payments.get_operation(tx, attempt, attempt.operation_id, lock=True) if attempt.operation_id else None
        )
        if payment is None or not attempts.lock_if_held(tx, attempt):
            extra = {**_named(attempt), "generation": attempt.generation}
            _log.info("attempt was taken over", extra=extra)
            return None
        change = settle(
            payment,
            operation,
            attempt.kind,
            result,
            now=now,
            authorization_validity=context.processors[attempt.processor].capabilities.authorization_validity,
            announced=attempt.outcome is not None,
        )
        with tx.pipeline():  # all writes and the commit travel together
            changed = write_change(tx, attempt, payment, change, now=now)
            _write_attempt(tx, attempt, changed, change, result, evidence=evidence, now=now)
            if attempt.kind is CallKind.VOID:
                _close_creation(tx, attempt, payment, changed)
            response = _response(changed, change, request_id=key.request_id if key else "none")
            if key and key.response_status is None and attempt.idempotency_key_hash:
                _store_response(tx, attempt, attempt.idempotency_key_hash, change, response)
            tx.commit()
    _count(context, attempt, payment, changed)
    logs.annotate(attempt_id=attempt.id, **told(attempt, result), payment_status=changed.status)
    return response


def _store_response(
    tx: Connection, attempt: Attempt, key_hash: bytes, change: Transition, response: ApiResponse
) -> None:
    if change.response_is_final:
        idempotency.finish(tx, attempt, key_hash, status=response.status, body=response.body)
    else:
        idempotency.release(tx, attempt, key_hash)


def write_change(tx: Connection, attempt: Attempt, before: Payment, change: Transition, *, now: datetime) -> Payment:
    """Store payment, operation, postings and events of one change; answers the payment as stored."""
    for place, posting in enumerate(change.postings):
        ledger.insert(
            tx,
            attempt,
            posting,
            transfer_id=new_id(Prefix.TRANSFER, now + place * _TICK),
            currency=before.currency,
            payment_id=before.id,
            attempt_id=attempt.id,
        )
    payment = events.record(tx, change.payment, change.operation, change.events, now=now)
    if payment != before:
        payments.update_payment(tx, payment)
    if change.operation is not None:
        payments.update_operation(tx, change.operation)
    return payment


def _close_creation(tx: Connection, attempt: Attempt, before: Payment, after: Payment) -> None:
    """A void that ends a wait for the customer also ends the attempt that made the payment."""
    if before.status is PaymentStatus.REQUIRES_ACTION and after.status is PaymentStatus.CANCELED:
        attempts.settle_creation(tx, attempt, after.id, outcome="not_done", evidence=f"void {attempt.id}")


def _write_attempt(
    tx: Connection,
    attempt: Attempt,
    payment: Payment,
    change: Transition,
    result: Result,
    *,
    evidence: str,
    now: datetime,
) -> None:
    if change.settled:
        attempts.settle(
            tx, attempt, outcome=result.outcome, reference=result.reference, evidence=evidence or result.detail
        )
        return
    wait = lookup_delay(attempt.looks)
    if payment.status is PaymentStatus.REQUIRES_ACTION and attempt.kind is CallKind.PAYMENT and payment.expires_at:
        wait = max(wait, payment.expires_at - now)
    stuck = now - attempt.created_at > STUCK_AFTER and payment.status is not PaymentStatus.REQUIRES_ACTION
    attempts.record_inconclusive(
        tx,
        attempt,
        outcome=result.outcome,
        reference=result.reference,
        wait=wait,
        stuck_reason=f"{result.outcome}: {result.detail or 'no evidence'}" if stuck else None,
    )


def _response(payment: Payment, change: Transition, *, request_id: str) -> ApiResponse:
    refund = change.operation if change.operation and change.operation.kind is CallKind.REFUND else None
    error = change.operation.error if change.operation else payment.last_error
    if change.status == 402 and error is not None:  # the outcome table's own words
        body = refusal_json(payment, error, refund=refund, request_id=request_id)
    else:
        body = refund_json(refund, payment.currency) if refund else payment_json(payment)
    return ApiResponse(status=change.status, body=dumps(body))


def _accepted(payment: Payment, operation: Operation | None) -> ApiResponse:
    """The answer when the outcome could not be recorded: as Tx1 left it."""
    is_refund = operation is not None and operation.kind is CallKind.REFUND
    body = refund_json(operation, payment.currency) if operation and is_refund else payment_json(payment)
    return ApiResponse(status=_ACCEPTED, body=dumps(body))


def _count(context: Context, attempt: Attempt, before: Payment, after: Payment) -> None:
    """Every state that a creation reaches; also `processing`, when the first answer leaves the outcome open."""
    if attempt.kind is CallKind.PAYMENT and (before.status is not after.status or attempt.outcome is None):
        context.metrics.count("Payments", dimension="Outcome", value=after.status)


def _named(attempt: Attempt) -> dict[str, str]:
    """What a log line calls the attempt and its payment: a saved query finds both by the payment's id."""
    return {"attempt_id": attempt.id, "payment_id": attempt.payment_id, "merchant_id": attempt.merchant_id}


def told(attempt: Attempt, result: Result) -> dict[str, str | None]:
    """What a log line says of a processor's response, whoever asked: api and worker in the same words."""
    return {"operation": attempt.kind, "outcome": result.outcome, "decline_code": result.decline_code}
