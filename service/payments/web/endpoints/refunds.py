"""Endpoints of refunds: create, list, get."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import Field

from payments.core.problems import IllegalTransition, NotFound, NotSupported, PaymentFailed, ValidationFailed
from payments.domain.api_keys import Scope
from payments.domain.ids import Prefix
from payments.repositories import payments as repository
from payments.services import payments as use_cases
from payments.services.presentation import refund_json
from payments.web.endpoints.schemas import REFUND_ID, CreateRefund, PaymentPath, Refund
from payments.web.http import patterns
from payments.web.http.auth import principal
from payments.web.http.context import context
from payments.web.http.guards import requires
from payments.web.http.idempotency import idempotent_request
from payments.web.http.models import Parameters
from payments.web.http.overload import waits_for_processor
from payments.web.http.pagination import Page, PageQuery, id_cursor, page_response
from payments.web.http.responses import idempotent_response, json_response
from payments.web.openapi.responses import API_KEY, IDEMPOTENT, responses

_CURSOR = id_cursor(patterns.identifier(Prefix.REFUND))
_OPERATION = (*IDEMPOTENT, PaymentFailed, NotFound, IllegalTransition, NotSupported)
_TAG = Tag(name="Refunds", description="Return captured money.")


class RefundPath(Parameters):
    """Identifies a refund."""

    refund_id: str = Field(
        pattern=patterns.identifier(Prefix.REFUND),
        description="ID of the refund.",
        json_schema_extra={"example": REFUND_ID},
    )


class RefundsQuery(PageQuery):
    """Which refunds of a payment."""

    cursor: str | None = _CURSOR.field()


api = APIBlueprint("refunds", __name__, url_prefix="/v1", abp_security=API_KEY, abp_tags=[_TAG])


@api.post("/payments/<payment_id>/refunds", responses=responses({201: Refund, 202: Refund}, *_OPERATION))
@waits_for_processor
@requires(Scope.REFUNDS_WRITE)
def create_refund(path: PaymentPath, body: CreateRefund) -> Response:
    """Refund captured money, in full or in part."""
    params = use_cases.RefundParams(amount=body.amount, reason=body.reason)
    return idempotent_response(
        use_cases.refund_payment(context(), principal(), idempotent_request(), path.payment_id, params)
    )


@api.get("/payments/<payment_id>/refunds", responses=responses({200: Page[Refund]}, NotFound, ValidationFailed))
@requires(Scope.REFUNDS_READ)
def list_refunds(path: PaymentPath, query: RefundsQuery) -> Response:
    """List a payment's refunds, newest first."""
    before = _CURSOR.read(query)
    with context().database.tenant_transaction(principal()) as tx:
        payment = repository.get_payment(tx, principal(), path.payment_id)
        if payment is None:
            raise NotFound.of("payment")
        found = repository.list_refunds(tx, principal(), payment.id, before_id=before, limit=query.limit + 1)
    return page_response(query, _CURSOR, found, lambda refund: refund_json(refund, payment.currency))


@api.get("/refunds/<refund_id>", responses=responses({200: Refund}, NotFound))
@requires(Scope.REFUNDS_READ)
def get_refund(path: RefundPath) -> Response:
    """Get a refund."""
    with context().database.tenant_transaction(principal()) as tx:
        refund = repository.get_operation(tx, principal(), path.refund_id)
        payment = repository.get_payment(tx, principal(), refund.payment_id) if refund else None
    if refund is None or payment is None:
        raise NotFound.of("refund")
    return json_response(refund_json(refund, payment.currency))
