"""Creating, capturing, voiding and refunding payments: Tx1, then the processor call, then Tx2."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from payments.core.problems import (
    IllegalTransition,
    NotFound,
    NotSupported,
    OperationInProgress,
    ServiceUnavailable,
    ValidationFailed,
)
from payments.domain.api_keys import Principal
from payments.domain.ids import Prefix, new_id
from payments.domain.operations import Attempt, CallKind, Operation, OperationStatus
from payments.domain.payments import AmountTooLarge, CaptureMethod, OperationNotAllowed, OperationPending, Payment
from payments.domain.tenancy import TenantScope
from payments.observability import logs
from payments.processors.base import Processor
from payments.repositories import attempts, payment_creation, payments
from payments.repositories.attempts import NewAttempt
from payments.repositories.connection import Connection
from payments.repositories.group_commit import Step
from payments.repositories.payment_creation import NewPayment
from payments.services.context import Context
from payments.services.execution import InFlightAttempt, execute
from payments.services.idempotency import ApiResponse, IdempotentRequest, claim, claim_or_replay, replay

_PREFIXES = {CallKind.CAPTURE: Prefix.CAPTURE, CallKind.VOID: Prefix.VOID, CallKind.REFUND: Prefix.REFUND}
_Start = Callable[[Payment, Processor, str], tuple[Payment, Operation]]


@dataclass(frozen=True, kw_only=True)
class PaymentParams:
    """What to charge."""

    #: Minor units of ``currency``.
    amount: int
    currency: str
    payment_method: str
    capture_method: CaptureMethod
    reference: str | None = None
    description: str | None = None
    metadata: dict[str, str]
    return_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class CaptureParams:
    """What to capture."""

    #: Minor units; ``None`` for all that is left.
    amount: int | None = None
    #: Whether the rest of the authorization is released.
    final: bool = True


@dataclass(frozen=True, kw_only=True)
class RefundParams:
    """What to refund."""

    #: Minor units; ``None`` for all that is left.
    amount: int | None = None
    reason: str | None = None


def create_payment(
    context: Context, principal: Principal, request: IdempotentRequest, params: PaymentParams
) -> ApiResponse:
    """Create a payment.

    Raises:
        ApiError: Nothing was started, and nothing is stored under the key.
    """
    processor = context.processor_for(livemode=principal.livemode)
    started, now = time.monotonic(), context.now()
    error = processor.payment_method_error(params.payment_method)
    if error is not None:
        raise ValidationFailed.at("#/payment_method", error)
    error = processor.currency_error(params.currency)
    if error is not None:
        raise ValidationFailed.at("#/currency", error)
    _require_possible_amount(processor, CallKind.PAYMENT, params.amount, params.currency)
    if not processor.is_available():
        return _replay_or_refuse(context, principal, request)
    new = NewPayment(
        payment_id=new_id(Prefix.PAYMENT, now),
        attempt_id=new_id(Prefix.ATTEMPT, now),
        **vars(request),
        **vars(params),
        processor=processor.name,
        api_version=principal.api_version,
        created_at=now,
    )

    def tx1(tx: Connection) -> Generator[Step, None, tuple[Payment, Attempt] | None]:  # in one round trip
        inserted = payment_creation.insert(tx, principal, new)
        yield Step.COMMIT
        return inserted()

    stored = context.database.commit_together("Tx1", tx1, tenant=principal, locks=request.key_hash.hex())
    if stored is None:
        with context.database.tenant_transaction(principal) as tx:
            return replay(tx, principal, request)
    payment, attempt = stored
    logs.annotate(payment_id=payment.id)
    return execute(context, InFlightAttempt(payment=payment, operation=None, attempt=attempt, started=started))


def _replay_or_refuse(context: Context, tenant: TenantScope, request: IdempotentRequest) -> ApiResponse:
    """Respond to a request whose processor is not available; a claim is rolled back."""
    with context.database.tenant_transaction(tenant) as tx:
        replayed = claim_or_replay(tx, tenant, request)
    if replayed is None:
        raise _unavailable()
    return replayed


def capture_payment(
    context: Context, tenant: TenantScope, request: IdempotentRequest, payment_id: str, params: CaptureParams
) -> ApiResponse:
    """Capture an authorized payment, in full or in part.

    Raises:
        ApiError: Nothing was started, and nothing is stored under the key.
    """

    def start(payment: Payment, processor: Processor, operation_id: str) -> tuple[Payment, Operation]:
        amount = payment.check_capture(params.amount)
        _require_possible_amount(processor, CallKind.CAPTURE, amount, payment.currency)
        if not params.final and not processor.capabilities.multicapture:
            raise NotSupported("The processor does not support multiple captures of a payment. Use final: true.")
        operation = _operation(context, payment, CallKind.CAPTURE, operation_id, amount=amount, final=params.final)
        return payment.with_pending(CallKind.CAPTURE), operation

    return _operate(context, tenant, request, payment_id, CallKind.CAPTURE, start)


def void_payment(context: Context, tenant: TenantScope, request: IdempotentRequest, payment_id: str) -> ApiResponse:
    """Release what is authorized but not captured.

    Raises:
        ApiError: Nothing was started, and nothing is stored under the key.
    """

    def start(payment: Payment, _: Processor, operation_id: str) -> tuple[Payment, Operation]:
        return start_void(context, payment, operation_id)

    return _operate(context, tenant, request, payment_id, CallKind.VOID, start)


def refund_payment(
    context: Context, tenant: TenantScope, request: IdempotentRequest, payment_id: str, params: RefundParams
) -> ApiResponse:
    """Refund captured money, in full or in part. The amount is reserved under the payment's lock.

    Raises:
        ApiError: Nothing was started, and nothing is stored under the key.
    """

    def start(payment: Payment, processor: Processor, operation_id: str) -> tuple[Payment, Operation]:
        amount = payment.check_refund(params.amount)
        _require_possible_amount(processor, CallKind.REFUND, amount, payment.currency)
        operation = _operation(context, payment, CallKind.REFUND, operation_id, amount=amount, reason=params.reason)
        return replace(payment, amount_refund_pending=payment.amount_refund_pending + amount), operation

    return _operate(context, tenant, request, payment_id, CallKind.REFUND, start)


def _operate(
    context: Context, tenant: TenantScope, request: IdempotentRequest, payment_id: str, kind: CallKind, start: _Start
) -> ApiResponse:
    started, operation_id = time.monotonic(), new_operation_id(context, kind)
    with context.database.tenant_transaction(tenant) as tx:
        claimed = claim(tx, tenant, request, payment_id=payment_id, operation_id=operation_id)
        locked_payment = payments.find_payment(tx, tenant, payment_id, lock=True)
        if not claimed():
            return replay(tx, tenant, request)
        payment = locked_payment()
        if payment is None:
            raise NotFound.of("payment")
        processor = context.processors[payment.processor]
        try:
            changed, operation = start(payment, processor, operation_id)
        except OperationNotAllowed as refusal:
            raise IllegalTransition(refusal.detail, state=refusal.state, allowed=refusal.allowed) from refusal
        except OperationPending as refusal:
            raise OperationInProgress(str(refusal)) from refusal
        except AmountTooLarge as refusal:
            detail = f"The amount exceeds what is left, which is {refusal.limit}."
            raise ValidationFailed.at("#/amount", detail) from refusal
        if not processor.is_available():
            raise _unavailable()
        stored = start_operation(tx, context, changed, operation, key_hash=request.key_hash, started=started)
        tx.commit()
        in_flight = stored()
    return execute(context, in_flight)


def start_void(context: Context, payment: Payment, operation_id: str) -> tuple[Payment, Operation]:
    """Return ``payment`` with a void in progress, and the void."""
    operation = _operation(context, payment, CallKind.VOID, operation_id, amount=payment.check_void())
    return payment.with_pending(CallKind.VOID), operation


def start_operation(
    tx: Connection,
    context: Context,
    payment: Payment,
    operation: Operation,
    *,
    key_hash: bytes | None,
    started: float,
) -> Callable[[], InFlightAttempt]:
    """Write Tx1 of an operation on a locked payment; the caller commits, and calls what is returned for the attempt.

    ``started`` is when the caller began, on the monotonic clock.
    """
    payments.update_payment(tx, payment)
    payments.insert_operation(tx, operation)
    new = NewAttempt(
        id=new_id(Prefix.ATTEMPT, context.now()),
        payment_id=payment.id,
        operation_id=operation.id,
        kind=operation.kind,
        processor=payment.processor,
        idempotency_key_hash=key_hash,
    )
    stored = attempts.insert(tx, payment, new)

    def in_flight() -> InFlightAttempt:
        attempt = stored()
        if attempt is None:
            raise LookupError(f"The payment {payment.id}, which is locked, does not exist.")
        return InFlightAttempt(payment=payment, operation=operation, attempt=attempt, started=started)

    return in_flight


def new_operation_id(context: Context, kind: CallKind) -> str:
    """Return an identifier for an operation that starts now."""
    return new_id(_PREFIXES[kind], context.now())


def _operation(
    context: Context,
    payment: Payment,
    kind: CallKind,
    operation_id: str,
    *,
    amount: int,
    final: bool = True,
    reason: str | None = None,
) -> Operation:
    return Operation(
        id=operation_id,
        merchant_id=payment.merchant_id,
        livemode=payment.livemode,
        payment_id=payment.id,
        kind=kind,
        status=OperationStatus.PENDING,
        amount=amount,
        final=final,
        reason=reason,
        error=None,
        processor_reference=None,
        created_at=context.now(),
        settled_at=None,
    )


def _require_possible_amount(processor: Processor, kind: CallKind, amount: int, currency: str) -> None:
    error = processor.amount_error(kind, amount, currency)
    if error is not None:
        raise ValidationFailed.at("#/amount", error)


def _unavailable() -> ServiceUnavailable:
    return ServiceUnavailable(
        "The processor is temporarily unavailable. Nothing was started; retry with the same Idempotency-Key."
    )
