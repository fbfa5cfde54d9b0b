"""Events, balances and ledger entries over HTTP."""

import json

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from payments.core.problems import NotFound, ValidationFailed
from payments.domain.api_keys import Scope
from payments.domain.ids import Prefix
from payments.domain.ledger import Account, balance
from payments.repositories import events, ledger
from payments.repositories import payments as payment_repository
from payments.repositories.cursors import Position
from payments.services.presentation import timestamp
from payments.web.endpoints import schemas
from payments.web.endpoints.payments import answer_json
from payments.web.http import auth, pagination, patterns
from payments.web.http import guards as edge
from payments.web.http.state import context
from payments.web.openapi.api import responses

_KEYS: list[dict[str, list[str]]] = [{"api_key": []}]
_EVENTS = Tag(name="Events", description="What happened, in order.")
_LEDGER = Tag(name="Ledger", description="Double entry: where the money is.")
_NO_PAYMENT = "There is no such payment. Check the id and that the key is of the right merchant and mode."


#: Decimal digits that surely fit a column: an xid8, and a 32-bit integer.
_XID = "[0-9]{1,19}"
_SEQUENCE = "[0-9]{1,9}"


def _position(cursor: str | None, prefix: Prefix) -> Position | None:
    parts = pagination.decode(cursor, _XID, patterns.identifier(prefix))
    return None if parts is None else Position(xid=parts[0], id=parts[1])


api = APIBlueprint("ledger", __name__, url_prefix="/v1", abp_security=_KEYS)


@api.get("/events", tags=[_EVENTS], responses=responses({200: schemas.EventList}, ValidationFailed))
@edge.requires(Scope.EVENTS_READ)
def list_events(query: pagination.PageQuery) -> Response:
    """List events, newest first.

    The order is that of commits: who stops at the newest event that they know has missed none.
    """
    before = _position(query.cursor, Prefix.EVENT)
    with context().database.tenant_transaction(auth.authenticate(request)) as tx:
        found = events.list_for_tenant(
            tx, auth.authenticate(request), before=(before.xid, before.id) if before else None, limit=query.limit + 1
        )
    shown, has_more = pagination.page(found, query.limit)
    cursor = pagination.encode(shown[-1].xid, shown[-1].id) if has_more else None
    data = [json.loads(event.body) for event in shown]
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.get("/events/<event_id>", tags=[_EVENTS], responses=responses({200: schemas.Event}, NotFound))
@edge.requires(Scope.EVENTS_READ)
def get_event(path: schemas.EventPath) -> Response:
    """Read an event."""
    with context().database.tenant_transaction(auth.authenticate(request)) as tx:
        event = events.get(tx, auth.authenticate(request), path.event_id)
    if event is None:
        raise NotFound("There is no such event. Check the id and that the key is of the right merchant and mode.")
    return Response(event.body, content_type="application/json")


@api.get(
    "/payments/<payment_id>/events",
    tags=[_EVENTS],
    responses=responses({200: schemas.EventList}, NotFound, ValidationFailed),
)
@edge.requires(Scope.EVENTS_READ)
def list_payment_events(path: schemas.PaymentPath, query: pagination.PageQuery) -> Response:
    """List a payment's events, newest first."""
    parts = pagination.decode(query.cursor, _SEQUENCE)
    tenant = auth.authenticate(request)
    with context().database.tenant_transaction(tenant) as tx:
        if payment_repository.get_payment(tx, tenant, path.payment_id) is None:
            raise NotFound(_NO_PAYMENT)
        found = events.list_for_payment(
            tx, tenant, path.payment_id, before=int(parts[0]) if parts else None, limit=query.limit + 1
        )
    shown, has_more = pagination.page(found, query.limit)
    cursor = pagination.encode(str(shown[-1].sequence)) if has_more else None
    data = [json.loads(event.body) for event in shown]
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.get("/balances", tags=[_LEDGER], responses=responses({200: schemas.BalanceList}))
@edge.requires(Scope.LEDGER_READ)
def list_balances() -> Response:
    """All balances, in one snapshot: always what the entries add up to."""
    with context().database.tenant_transaction(auth.authenticate(request)) as tx:
        totals = ledger.totals(tx, auth.authenticate(request))
    data = [
        {
            "object": "balance",
            "account": total.account,
            "currency": total.currency,
            "balance": balance(Account(total.account), debits=total.debits, credits=total.credits),
            "debits": total.debits,
            "credits": total.credits,
        }
        for total in totals
    ]
    return answer_json(pagination.listing(data, has_more=False, next_cursor=None))


@api.get("/ledger/entries", tags=[_LEDGER], responses=responses({200: schemas.EntryList}, ValidationFailed))
@edge.requires(Scope.LEDGER_READ)
def list_entries(query: schemas.EntriesQuery) -> Response:
    """List transfers, newest first, in the order of commits."""
    with context().database.tenant_transaction(auth.authenticate(request)) as tx:
        found = ledger.list_for_tenant(
            tx,
            auth.authenticate(request),
            before=_position(query.cursor, Prefix.TRANSFER),
            limit=query.limit + 1,
            payment_id=query.payment,
        )
    shown, has_more = pagination.page(found, query.limit)
    cursor = pagination.encode(shown[-1].xid, shown[-1].id) if has_more else None
    return answer_json(pagination.listing([_entry(item) for item in shown], has_more=has_more, next_cursor=cursor))


def _entry(transfer: ledger.Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "object": "ledger_entry",
        "debit_account": transfer.debit_account,
        "credit_account": transfer.credit_account,
        "amount": transfer.amount,
        "currency": transfer.currency,
        "kind": transfer.kind,
        "payment": transfer.payment_id,
        "created": timestamp(transfer.created_at),
    }
