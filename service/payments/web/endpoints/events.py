"""Endpoints of events: list, get, redeliver."""

import json
from typing import Annotated, Any, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, Field

from payments.core.problems import NotFound, ValidationFailed
from payments.domain.api_keys import Scope
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.events import TYPES_BY_FILTER
from payments.domain.ids import Prefix
from payments.repositories import events as repository
from payments.repositories import payments as payment_repository
from payments.repositories.events import StoredEvent
from payments.services import webhook_endpoints as use_cases
from payments.web.endpoints.schemas import PAYMENT_EXAMPLE, PAYMENT_ID, PaymentPath
from payments.web.http import patterns
from payments.web.http.auth import principal
from payments.web.http.context import context
from payments.web.http.guards import requires
from payments.web.http.idempotency import idempotent_request
from payments.web.http.models import Parameters, RequestBody
from payments.web.http.pagination import XID, Cursor, Page, PageQuery, page_response
from payments.web.http.responses import idempotent_response
from payments.web.openapi.responses import API_KEY, IDEMPOTENT, responses

#: In examples.
_EVENT_ID = "evt_01jcx5v8kp6d2f9h4n7q8s3wye"
_TAG = Tag(name="Events", description="What happened, in order.")
_CURSOR: Cursor[StoredEvent, tuple[str, str]] = Cursor(
    patterns=(XID, patterns.identifier(Prefix.EVENT)),
    parts=lambda event: (event.xid, event.id),
    position=lambda xid, event_id: (xid, event_id),
)
#: Digits that fit a 32-bit integer.
_SEQUENCE_CURSOR: Cursor[StoredEvent, int] = Cursor(
    patterns=("[1-9][0-9]{0,8}",), parts=lambda event: (str(event.sequence),), position=int
)


def _check_filter(text: str) -> str:
    if text not in TYPES_BY_FILTER:
        raise ValueError("Must be an event type such as refund.failed, or all of one object such as refund.*.")
    return text


EventFilter = Annotated[
    str, AfterValidator(_check_filter), Field(json_schema_extra={"enum": list[Any](TYPES_BY_FILTER)})
]


class EventsQuery(PageQuery):
    """Which events."""

    cursor: str | None = _CURSOR.field()
    type: EventFilter | None = Field(default=None, description="Only of this type, or of one object's (`refund.*`).")


class PaymentEventsQuery(PageQuery):
    """Which events of a payment."""

    cursor: str | None = _SEQUENCE_CURSOR.field()


class EventPath(Parameters):
    """Identifies an event."""

    event_id: str = Field(
        pattern=patterns.identifier(Prefix.EVENT),
        description="ID of the event.",
        json_schema_extra={"example": _EVENT_ID},
    )


class EventData(BaseModel):
    """What the event is about, as it was at that time: a payment, a refund or a dispute."""

    object: dict[str, Any] = Field(description="The object.", examples=[PAYMENT_EXAMPLE])


class Event(BaseModel):
    """A change, as it is listed and delivered to webhook endpoints."""

    id: str = Field(description="Also the `webhook-id` of its deliveries.", examples=[_EVENT_ID])
    object: Literal["event"]
    type: str = Field(description="What happened.", examples=["payment.succeeded"])
    api_version: str = Field(description="The dated version that `data` is in.", examples=[CURRENT_API_VERSION])
    created: int = Field(description="Unix seconds.", examples=[1795500000])
    livemode: bool
    payment: str = Field(description="ID of the payment.", examples=[PAYMENT_ID])
    sequence: int = Field(description="1, 2, 3... within the payment: its order, however events arrive.", examples=[1])
    data: EventData


class Redeliver(RequestBody):
    """An empty object."""


class EventRedelivery(BaseModel):
    """A redelivery that was started."""

    object: Literal["event_redelivery"]
    event: str = Field(description="ID of the event.", examples=[_EVENT_ID])
    webhook_endpoints: list[str] = Field(
        description="IDs of the enabled endpoints that subscribe to the event.",
        examples=[["we_01jcx64d9hq3v7mz2kf8p5rtyn"]],
    )


api = APIBlueprint("events", __name__, url_prefix="/v1", abp_security=API_KEY, abp_tags=[_TAG])


@api.get("/events", responses=responses({200: Page[Event]}, ValidationFailed))
@requires(Scope.EVENTS_READ)
def list_events(query: EventsQuery) -> Response:
    """List events, newest first.

    To follow what happens without webhooks, poll this list, also narrowed down by `type`: events are in commit order,
    and one is listed only once none can come before it. A client that reads back to the newest event it knows has
    missed none. Do not poll by `created`: a slow transaction's event appears later than it was created.
    """
    before = _CURSOR.read(query)
    types = TYPES_BY_FILTER[query.type] if query.type else None
    with context().database.tenant_transaction(principal()) as tx:
        found = repository.list_for_tenant(tx, principal(), before=before, limit=query.limit + 1, types=types)
    return page_response(query, _CURSOR, found, _event_json)


@api.get("/events/<event_id>", responses=responses({200: Event}, NotFound))
@requires(Scope.EVENTS_READ)
def get_event(path: EventPath) -> Response:
    """Get an event."""
    with context().database.tenant_transaction(principal()) as tx:
        event = repository.get(tx, principal(), path.event_id)
    if event is None:
        raise NotFound.of("event")
    return Response(event.body, content_type="application/json")


@api.get("/payments/<payment_id>/events", responses=responses({200: Page[Event]}, NotFound, ValidationFailed))
@requires(Scope.EVENTS_READ)
def list_payment_events(path: PaymentPath, query: PaymentEventsQuery) -> Response:
    """List a payment's events, newest first."""
    before = _SEQUENCE_CURSOR.read(query)
    with context().database.tenant_transaction(principal()) as tx:
        if payment_repository.get_payment(tx, principal(), path.payment_id) is None:
            raise NotFound.of("payment")
        found = repository.list_for_payment(tx, principal(), path.payment_id, before=before, limit=query.limit + 1)
    return page_response(query, _SEQUENCE_CURSOR, found, _event_json)


@api.post("/events/<event_id>/redeliver", responses=responses({202: EventRedelivery}, *IDEMPOTENT, NotFound))
@requires(Scope.WEBHOOKS_WRITE)
def redeliver_event(path: EventPath, body: Redeliver) -> Response:  # noqa: ARG001 - only validated
    """Deliver an event again, unchanged, with the same `webhook-id`."""
    return idempotent_response(
        use_cases.redeliver(context(), principal(), idempotent_request(), event_id=path.event_id)
    )


def _event_json(event: StoredEvent) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(event.body)
    return result
