"""Endpoints of payments: create, list, get, capture, void."""

from datetime import UTC, datetime

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from payments.core.problems import (
    IllegalTransition,
    NotFound,
    NotSupported,
    OperationInProgress,
    PaymentFailed,
    ValidationFailed,
)
from payments.domain.api_keys import Scope
from payments.domain.ids import Prefix, lowest_id_at
from payments.domain.payments import CaptureMethod, PaymentStatus
from payments.repositories import payments as repository
from payments.repositories.payments import PaymentFilter
from payments.services import payments as use_cases
from payments.services.presentation import payment_json
from payments.web.endpoints.schemas import (
    PAYMENTS_CURSOR,
    CapturePayment,
    CreatePayment,
    Payment,
    PaymentPath,
    PaymentsQuery,
    VoidPayment,
)
from payments.web.http.auth import principal
from payments.web.http.context import context
from payments.web.http.guards import requires
from payments.web.http.idempotency import idempotent_request
from payments.web.http.overload import waits_for_processor
from payments.web.http.pagination import Page, page_response
from payments.web.http.responses import idempotent_response, json_response
from payments.web.openapi.responses import API_KEY, IDEMPOTENT, responses

_OPERATION = (*IDEMPOTENT, PaymentFailed, NotFound, IllegalTransition, NotSupported, OperationInProgress)
_TAG = Tag(name="Payments", description="Authorize, capture and void payments.")

api = APIBlueprint("payments", __name__, url_prefix="/v1", abp_security=API_KEY, abp_tags=[_TAG])


@api.post("/payments", responses=responses({201: Payment, 202: Payment}, *IDEMPOTENT, PaymentFailed))
@waits_for_processor
@requires(Scope.PAYMENTS_WRITE)
def create_payment(body: CreatePayment) -> Response:
    """Create a payment.

    202 means that the outcome is not known yet: the payment is `processing`, and an event reports the outcome.
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
    return idempotent_response(use_cases.create_payment(context(), principal(), idempotent_request(), params))


@api.get("/payments", responses=responses({200: Page[Payment]}, ValidationFailed))
@requires(Scope.PAYMENTS_READ)
def list_payments(query: PaymentsQuery) -> Response:
    """List payments, newest first.

    A payment appears a moment after it was created, so that one created earlier can appear later: to follow what
    happens without missing any, poll `GET /v1/events`.
    """
    wanted = _filter(query, before=PAYMENTS_CURSOR.read(query))
    with context().database.tenant_transaction(principal()) as tx:
        found = repository.list_payments(tx, principal(), wanted, limit=query.limit + 1)
    return page_response(query, PAYMENTS_CURSOR, found, payment_json)


@api.get("/payments/<payment_id>", responses=responses({200: Payment}, NotFound))
@requires(Scope.PAYMENTS_READ)
def get_payment(path: PaymentPath) -> Response:
    """Get a payment."""
    with context().database.tenant_transaction(principal()) as tx:
        payment = repository.get_payment(tx, principal(), path.payment_id)
    if payment is None:
        raise NotFound.of("payment")
    return json_response(payment_json(payment))


@api.post("/payments/<payment_id>/capture", responses=responses({200: Payment, 202: Payment}, *_OPERATION))
@waits_for_processor
@requires(Scope.PAYMENTS_WRITE)
def capture_payment(path: PaymentPath, body: CapturePayment) -> Response:
    """Capture an authorized payment, in full or in part."""
    params = use_cases.CaptureParams(amount=body.amount, final=body.final)
    return idempotent_response(
        use_cases.capture_payment(context(), principal(), idempotent_request(), path.payment_id, params)
    )


@api.post("/payments/<payment_id>/void", responses=responses({200: Payment, 202: Payment}, *_OPERATION))
@waits_for_processor
@requires(Scope.PAYMENTS_WRITE)
def void_payment(path: PaymentPath, body: VoidPayment) -> Response:  # noqa: ARG001 - only validated
    """Void a payment: release what is authorized and not captured."""
    return idempotent_response(use_cases.void_payment(context(), principal(), idempotent_request(), path.payment_id))


def _filter(query: PaymentsQuery, *, before: str | None) -> PaymentFilter:
    """Identifiers contain the time of creation, so a bound on the time is a bound on the key."""
    bounds = [before] if before else []
    if query.created_lt is not None:
        bounds.append(lowest_id_at(Prefix.PAYMENT, datetime.fromtimestamp(query.created_lt, UTC)))
    since = query.created_gte
    return PaymentFilter(
        status=PaymentStatus(query.status) if query.status else None,
        reference=query.reference,
        from_id=None if since is None else lowest_id_at(Prefix.PAYMENT, datetime.fromtimestamp(since, UTC)),
        before_id=min(bounds) if bounds else None,
    )
