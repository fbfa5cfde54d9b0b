"""The processor call and the transaction that records its outcome (Tx2), for requests and for the worker alike.

No transaction is open while a processor is called. What Tx2 writes is fenced by the attempt's generation: if somebody
else has claimed the attempt meanwhile, nothing is written, and the new holder records the outcome.
"""

import logging
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import psycopg

from payments.domain.ids import Prefix, new_id
from payments.domain.operations import PROCESSOR_DEADLINE, STUCK_AFTER, Attempt, CallKind, Operation, lookup_delay
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.return_urls import with_payment_id
from payments.domain.tenancy import TenantScope
from payments.domain.transitions import Transition, Verdict, apply_result
from payments.observability import logs, timing
from payments.processors.base import Call, Processor
from payments.processors.inbound import SendsWebhooks
from payments.repositories import attempts, idempotency, inbox, ledger, payments
from payments.repositories.connection import Connection
from payments.repositories.database import DatabaseUnavailable
from payments.repositories.group_commit import Step
from payments.repositories.ledger import NewTransfer
from payments.services import events
from payments.services.context import Context
from payments.services.idempotency import ApiResponse
from payments.services.presentation import dumps, refusal_json, subject_json

_log = logging.getLogger("payments.execution")
#: Identifiers created in one transaction are this far apart in time, so that they sort in order of creation.
_TICK = timedelta(microseconds=1)
#: Tries of Tx2, which may be repeated: a second try finds the attempt settled by the first.
_RECORD_TRIES = 3
#: Seconds after which it is not tried again: the client has waited long enough, and the worker finds out.
_RECORD_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class InFlightAttempt:
    """What Tx1 committed."""

    payment: Payment
    operation: Operation | None
    attempt: Attempt
    #: When Tx1 began, on the monotonic clock. The deadline counts from here.
    started: float

    def time_left(self) -> float:
        """Return the seconds until nothing may be sent any more. Never later than the database's deadline."""
        return self.started + PROCESSOR_DEADLINE.total_seconds() - time.monotonic()


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """What Tx2 committed."""

    before: Payment
    after: Payment
    response: ApiResponse


def execute(context: Context, in_flight: InFlightAttempt) -> ApiResponse:
    """Send the attempt, record its outcome, and return the response to the request."""
    attempt = in_flight.attempt
    try:
        result = send(context, context.processors[attempt.processor], in_flight)
        response = record(context, attempt, result)
    except (psycopg.Error, DatabaseUnavailable) as error:
        # What the processor has done, or will do, cannot be stored. The worker will look it up.
        _log.error("outcome not recorded", exc_info=error, extra=_log_identifiers(attempt))
        response = None
    if response is not None:
        return response
    body = subject_json(in_flight.payment, in_flight.operation)  # as Tx1 left them
    return ApiResponse(status=HTTPStatus.ACCEPTED, body=dumps(body))


def send(context: Context, processor: Processor, in_flight: InFlightAttempt) -> Result:
    """Call the processor. The id of an object that it prepares is committed before the object is confirmed."""
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
    reference = call.reference
    if reference is None:
        prepared = processor.prepare(call)
        if prepared is None:
            return processor.authorize(call)
        if prepared.outcome is not Outcome.PREPARED or prepared.reference is None:
            return prepared
        reference = prepared.reference
        with context.database.tenant_transaction(in_flight.attempt) as tx:
            stored = attempts.store_reference(tx, in_flight.attempt, reference)
            tx.commit()
        if not stored:
            return Result(outcome=Outcome.UNKNOWN, reference=reference, detail="claimed by another before confirmation")
    if in_flight.time_left() <= 0:
        return Result(outcome=Outcome.UNKNOWN, reference=reference, detail="deadline passed before confirmation")
    return processor.authorize(call_for(in_flight, reference=reference))


def call_for(in_flight: InFlightAttempt, *, reference: str | None = None) -> Call:
    """Return the attempt as the processor sees it."""
    payment, operation, attempt = in_flight.payment, in_flight.operation, in_flight.attempt
    own = reference or attempt.processor_reference
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
        merchant_reference=payment.reference,
        charge_reference=own if operation is None else payment.processor_reference,
        reference=own,
        amount_captured=payment.amount_captured,
        return_url=payment.return_url and with_payment_id(payment.return_url, payment.id),
        description=payment.description,
        reason=None if operation is None else operation.reason,
        metadata=payment.metadata,
        attempted_at=attempt.created_at,
    )


def record(context: Context, attempt: Attempt, result: Result, *, evidence: str = "") -> ApiResponse | None:
    """Record the outcome (Tx2), and retry while the database fails over.

    Returns:
        The response, ``None`` if the attempt was claimed by another holder or settled meanwhile.
    """
    if result.outcome is Outcome.MISCONFIGURED:
        _log.error(
            "the processor refuses our configuration", extra={**_log_identifiers(attempt), "reason": result.detail}
        )
    tries, started = 0, time.monotonic()
    while True:
        tries += 1
        try:
            return _record_once(context, attempt, result, evidence=evidence)
        except (psycopg.OperationalError, DatabaseUnavailable):
            if tries == _RECORD_TRIES or time.monotonic() - started > _RECORD_SECONDS:
                raise
            time.sleep(0.1)


def _record_once(context: Context, attempt: Attempt, result: Result, *, evidence: str) -> ApiResponse | None:
    def tx2(tx: Connection) -> Generator[Step, None, _Recorded | None]:  # in two round trips
        # Lock order everywhere: key, payment, attempt, ledger, outbox.
        key_hash, operation_id = attempt.idempotency_key_hash, attempt.operation_id
        locked_key = idempotency.lock(tx, attempt, key_hash) if key_hash else _nothing
        locked_payment = payments.find_payment(tx, attempt, attempt.payment_id, lock=True)
        found_operation = payments.find_operation(tx, attempt, operation_id) if operation_id else _nothing
        held_since = attempts.lock_if_held(tx, attempt)
        yield Step.READ
        key, payment, operation, now = locked_key(), locked_payment(), found_operation(), held_since()
        if payment is None or now is None:
            extra = {**_log_identifiers(attempt), "generation": attempt.generation}
            _log.info("attempt was claimed by another holder", extra=extra)
            return None
        transition = apply_result(
            payment,
            operation,
            result,
            now=now,
            authorization_validity=context.processors[attempt.processor].capabilities.authorization_validity,
            announced=attempt.outcome is not None,
        )
        changed = save(tx, attempt, attempt.id, payment, transition, now=now)
        _save_attempt(tx, attempt, changed, result, evidence=evidence, now=now)
        if transition.verdict is Verdict.REFUSED and operation is not None:
            _look_elsewhere(tx, context, attempt, payment)
        if attempt.kind is CallKind.VOID:
            _settle_creation(tx, attempt, payment, changed, transition.verdict)
        response = _response(changed, attempt, transition, request_id=key.request_id if key else "none")
        if key and key.response_status is None and key_hash:
            _respond_to_key(tx, attempt, key_hash, transition, response)
        yield Step.COMMIT
        return _Recorded(before=payment, after=changed, response=response)

    recorded = context.database.commit_together("Tx2", tx2, tenant=attempt, locks=attempt.payment_id)
    if recorded is None:
        return None
    _count(context, attempt, recorded.before, recorded.after)
    logs.annotate(attempt_id=attempt.id, **log_outcome(attempt, result), payment_status=recorded.after.status)
    return recorded.response


def _nothing() -> None:
    """Stand for what an attempt does not have."""


def save(
    tx: Connection, tenant: TenantScope, attempt_id: str, before: Payment, transition: Transition, *, now: datetime
) -> Payment:
    """Store the payment, operation, postings and events of one transition; returns the stored payment."""
    transfers = [
        NewTransfer(id=new_id(Prefix.TRANSFER, now + index * _TICK), currency=before.currency, posting=posting)
        for index, posting in enumerate(transition.postings)
    ]
    ledger.insert(tx, tenant, transfers, payment_id=before.id, attempt_id=attempt_id)
    payment = events.record(tx, transition.payment, transition.operation, transition.events, now=now)
    if payment != before:
        payments.update_payment(tx, payment)
    if transition.operation is not None:
        payments.update_operation(tx, transition.operation)
    return payment


def _save_attempt(
    tx: Connection, attempt: Attempt, payment: Payment, result: Result, *, evidence: str, now: datetime
) -> None:
    if result.is_final:
        attempts.settle(
            tx, attempt, outcome=result.outcome, reference=result.reference, evidence=evidence or result.detail
        )
        return
    delay = lookup_delay(attempt.lookups)
    if payment.status is PaymentStatus.REQUIRES_ACTION and attempt.kind is CallKind.PAYMENT and payment.expires_at:
        delay = max(delay, payment.expires_at - now)
    stuck = now - attempt.created_at > STUCK_AFTER and payment.status is not PaymentStatus.REQUIRES_ACTION
    attempts.record_inconclusive(
        tx,
        attempt,
        outcome=result.outcome,
        reference=result.reference,
        delay=delay,
        stuck_reason=f"{result.outcome}: {result.detail or 'no evidence'}" if stuck else None,
    )


def _settle_creation(tx: Connection, attempt: Attempt, before: Payment, after: Payment, verdict: Verdict) -> None:
    """Settle the attempt that created a payment once a void has ended its wait for the customer, or found it over."""
    if before.status is not PaymentStatus.REQUIRES_ACTION:
        return
    if after.status is PaymentStatus.CANCELED:
        attempts.settle_creation(tx, attempt, after.id, outcome="not_done", evidence=f"void {attempt.id}")
    elif verdict is Verdict.REFUSED:
        attempts.look_up_creation_soon(tx, attempt, after.id)  # it must have ended otherwise: usually it was approved


def _look_elsewhere(tx: Connection, context: Context, attempt: Attempt, payment: Payment) -> None:
    """Have the payment compared with the processor's: what it refused to us may have been done elsewhere."""
    if isinstance(context.processors[attempt.processor], SendsWebhooks) and payment.processor_reference:
        reference = payment.processor_reference
        inbox.enqueue_refused(tx, attempt, processor=attempt.processor, attempt_id=attempt.id, reference=reference)


def _response(payment: Payment, attempt: Attempt, transition: Transition, *, request_id: str) -> ApiResponse:
    operation = transition.operation
    error = operation.error if operation else payment.last_error
    if transition.verdict is Verdict.REFUSED and error is not None:
        body = refusal_json(payment, operation, error, request_id=request_id)
    else:
        body = subject_json(payment, operation)
    return ApiResponse(status=_status(attempt.kind, transition.verdict), body=dumps(body))


def _status(kind: CallKind, verdict: Verdict) -> HTTPStatus:
    """Return the HTTP status of the outcome table."""
    if verdict is Verdict.REFUSED:
        return HTTPStatus.PAYMENT_REQUIRED
    if verdict is Verdict.UNRESOLVED:
        return HTTPStatus.ACCEPTED
    return HTTPStatus.CREATED if kind in (CallKind.PAYMENT, CallKind.REFUND) else HTTPStatus.OK


def _respond_to_key(
    tx: Connection, attempt: Attempt, key_hash: bytes, transition: Transition, response: ApiResponse
) -> None:
    """Keep a final response under the Idempotency-Key; end the lease of one that is still open."""
    if transition.verdict is Verdict.UNRESOLVED:
        idempotency.release(tx, attempt, key_hash)
    else:
        idempotency.store_response(tx, attempt, key_hash, status=response.status, body=response.body)


def _count(context: Context, attempt: Attempt, before: Payment, after: Payment) -> None:
    """Count every state that a new payment reaches, including `processing` when its first outcome is open."""
    if attempt.kind is CallKind.PAYMENT and (before.status is not after.status or attempt.outcome is None):
        context.metrics.count("Payments", dimension="Outcome", value=after.status)


def _log_identifiers(attempt: Attempt) -> dict[str, str]:
    """Return the log fields that identify an attempt; saved queries find it by the payment's id."""
    return {"attempt_id": attempt.id, "payment_id": attempt.payment_id, "merchant_id": attempt.merchant_id}


def log_outcome(attempt: Attempt, result: Result) -> dict[str, str | None]:
    """Return the log fields that describe an outcome, the same in the api and in the worker."""
    return {"operation": attempt.kind, "outcome": result.outcome, "decline_code": result.decline_code}
