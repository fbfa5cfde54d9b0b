"""Payments and refunds over HTTP."""

from datetime import UTC, datetime
from http import HTTPStatus

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from payments.core.problems import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    IllegalTransition,
    NotFound,
    NotSupported,
    OperationInProgress,
    PaymentFailed,
    RequestInProgress,
    ValidationFailed,
)
from payments.domain.api_keys import Principal, Scope
from payments.domain.ids import Prefix, lowest_at
from payments.domain.payments import CaptureMethod, PaymentStatus
from payments.repositories import payments as repository
from payments.repositories.payments import PaymentFilter
from payments.services import payments as use_cases
from payments.services.presentation import dumps, payment_json, refund_json
from payments.web.endpoints import schemas
from payments.web.http import auth, pagination, patterns
from payments.web.http import guards as edge
from payments.web.http.idempotency import idempotent_request, respond
from payments.web.http.state import context
from payments.web.openapi.api import WITH_BODY, responses

_IDEMPOTENT = (
    *WITH_BODY,
    IdempotencyKeyMissing,
    IdempotencyKeyInvalid,
    IdempotencyMismatch,
    RequestInProgress,
    PaymentFailed,
)
_OPERATION = (*_IDEMPOTENT, NotFound, IllegalTransition, NotSupported)
_KEYS: list[dict[str, list[str]]] = [{"api_key": []}]
_PAYMENTS = Tag(name="Payments", description="Authorize, capture, void.")
_REFUNDS = Tag(name="Refunds", description="Give captured money back.")
_NO_PAYMENT = "There is no such payment. Check the id and that the key is of the right merchant and mode."
_NO_REFUND = "There is no such refund. Check the id and that the key is of the right merchant and mode."


def answer_json(value: dict[str, object], status: int = HTTPStatus.OK) -> Response:
    """``value`` as an answer."""
    return Response(dumps(value), status=status, content_type="application/json")


api = APIBlueprint("payments", __name__, url_prefix="/v1", abp_security=_KEYS)


def principal() -> Principal:
    """Who asks."""
    return auth.authenticate(request)


@api.post(
    "/payments",
    tags=[_PAYMENTS],
    responses=responses({201: schemas.Payment, 202: schemas.Payment}, *_IDEMPOTENT),
)
@edge.requires(Scope.PAYMENTS_WRITE)
def create_payment(body: schemas.CreatePayment) -> Response:
    """Make a payment.

    202 means that the outcome is not known yet: the payment is `processing`, and an event tells its end.
    """
    params = use_cases.PaymentParams(
        amount=body.amount,
        currency=body.currency,
        payment_method=body.payment_method,
        capture_method=CaptureMethod(body.capture_method),
        reference=body.reference,
        description=body.description,
        metadata=body.metadata,
        return_url=body.return_url,
    )
    return respond(use_cases.create_payment(context(), principal(), idempotent_request(request), params))


@api.get("/payments", tags=[_PAYMENTS], responses=responses({200: schemas.PaymentList}, ValidationFailed))
@edge.requires(Scope.PAYMENTS_READ)
def list_payments(query: schemas.PaymentsQuery) -> Response:
    """List payments, newest first."""
    wanted = _filter(query)
    with context().database.tenant_transaction(principal()) as tx:
        found = repository.list_payments(tx, principal(), wanted, limit=query.limit + 1)
    shown, has_more = pagination.page(found, query.limit)
    cursor = pagination.encode(shown[-1].id) if has_more else None
    data = [payment_json(payment) for payment in shown]
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.get("/payments/<payment_id>", tags=[_PAYMENTS], responses=responses({200: schemas.Payment}, NotFound))
@edge.requires(Scope.PAYMENTS_READ)
def get_payment(path: schemas.PaymentPath) -> Response:
    """Read a payment."""
    with context().database.tenant_transaction(principal()) as tx:
        payment = repository.get_payment(tx, principal(), path.payment_id)
    if payment is None:
        raise NotFound(_NO_PAYMENT)
    return answer_json(payment_json(payment))


@api.post(
    "/payments/<payment_id>/capture",
    tags=[_PAYMENTS],
    responses=responses({200: schemas.Payment, 202: schemas.Payment}, *_OPERATION, OperationInProgress),
)
@edge.requires(Scope.PAYMENTS_WRITE)
def capture_payment(path: schemas.PaymentPath, body: schemas.CapturePayment) -> Response:
    """Capture an authorized payment, wholly or in part."""
    params = use_cases.CaptureParams(amount=body.amount, final=body.final)
    answer = use_cases.capture_payment(context(), principal(), idempotent_request(request), path.payment_id, params)
    return respond(answer)


@api.post(
    "/payments/<payment_id>/void",
    tags=[_PAYMENTS],
    responses=responses({200: schemas.Payment, 202: schemas.Payment}, *_OPERATION, OperationInProgress),
)
@edge.requires(Scope.PAYMENTS_WRITE)
def void_payment(path: schemas.PaymentPath, body: schemas.VoidPayment) -> Response:  # noqa: ARG001  # validated
    """Release what is authorized and not captured."""
    return respond(use_cases.void_payment(context(), principal(), idempotent_request(request), path.payment_id))


@api.post(
    "/payments/<payment_id>/refunds",
    tags=[_REFUNDS],
    responses=responses({201: schemas.Refund, 202: schemas.Refund}, *_OPERATION),
)
@edge.requires(Scope.REFUNDS_WRITE)
def create_refund(path: schemas.PaymentPath, body: schemas.CreateRefund) -> Response:
    """Give captured money back, wholly or in part."""
    params = use_cases.RefundParams(amount=body.amount, reason=body.reason)
    answer = use_cases.refund_payment(context(), principal(), idempotent_request(request), path.payment_id, params)
    return respond(answer)


@api.get(
    "/payments/<payment_id>/refunds",
    tags=[_REFUNDS],
    responses=responses({200: schemas.RefundList}, NotFound, ValidationFailed),
)
@edge.requires(Scope.REFUNDS_READ)
def list_refunds(path: schemas.PaymentPath, query: pagination.PageQuery) -> Response:
    """List a payment's refunds, newest first."""
    before = pagination.decode(query.cursor, patterns.identifier(Prefix.REFUND))
    with context().database.tenant_transaction(principal()) as tx:
        payment = repository.get_payment(tx, principal(), path.payment_id)
        if payment is None:
            raise NotFound(_NO_PAYMENT)
        found = repository.list_refunds(
            tx, principal(), payment.id, before_id=before[0] if before else None, limit=query.limit + 1
        )
    shown, has_more = pagination.page(found, query.limit)
    data = [refund_json(refund, payment.currency) for refund in shown]
    cursor = pagination.encode(shown[-1].id) if has_more else None
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.get("/refunds/<refund_id>", tags=[_REFUNDS], responses=responses({200: schemas.Refund}, NotFound))
@edge.requires(Scope.REFUNDS_READ)
def get_refund(path: schemas.RefundPath) -> Response:
    """Read a refund."""
    with context().database.tenant_transaction(principal()) as tx:
        refund = repository.get_operation(tx, principal(), path.refund_id)
        payment = repository.get_payment(tx, principal(), refund.payment_id) if refund else None
    if refund is None or payment is None:
        raise NotFound(_NO_REFUND)
    return answer_json(refund_json(refund, payment.currency))


def _filter(query: schemas.PaymentsQuery) -> PaymentFilter:
    """Times are in the identifiers, so that a bound on time is a bound on the key."""
    bounds = []
    before = pagination.decode(query.cursor, patterns.identifier(Prefix.PAYMENT))
    if before is not None:
        bounds.append(before[0])
    if query.created_lt is not None:
        bounds.append(lowest_at(Prefix.PAYMENT, datetime.fromtimestamp(query.created_lt, UTC)))
    since = query.created_gte
    return PaymentFilter(
        status=PaymentStatus(query.status) if query.status else None,
        reference=query.reference,
        from_id=None if since is None else lowest_at(Prefix.PAYMENT, datetime.fromtimestamp(since, UTC)),
        before_id=min(bounds) if bounds else None,
    )
