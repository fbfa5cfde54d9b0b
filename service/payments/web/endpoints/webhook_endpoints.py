"""Webhook endpoints, their deliveries, and redelivery of events, over HTTP."""

from datetime import timedelta
from typing import Annotated, Literal

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, Field

from payments.core.problems import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    NotFound,
    RequestInProgress,
    ValidationFailed,
)
from payments.delivery.addresses import MAX_URL_LENGTH
from payments.domain.api_keys import Scope
from payments.domain.events import EventType
from payments.domain.ids import Prefix
from payments.domain.webhooks import DEFAULT_OVERLAP, MAX_OVERLAP
from payments.services import webhook_endpoints as use_cases
from payments.services.webhook_endpoints import EndpointUpdate, delivery_json, endpoint_json
from payments.web.endpoints.payments import answer_json, principal
from payments.web.endpoints.schemas import EventPath
from payments.web.http import guards as edge
from payments.web.http import pagination, patterns
from payments.web.http.idempotency import idempotent_request, respond
from payments.web.http.state import context
from payments.web.openapi.api import WITH_BODY, QueryModel, Strict, responses

_TAG = Tag(
    name="Webhooks",
    description="Events pushed to you, signed as Standard Webhooks: at least once, in any order; `sequence` tells it.",
)
_EVENTS = Tag(name="Events")
_IDEMPOTENT = (*WITH_BODY, IdempotencyKeyMissing, IdempotencyKeyInvalid, IdempotencyMismatch, RequestInProgress)
_TYPES = ["*", *(event_type.value for event_type in EventType)]


def _known_type(text: str) -> str:
    if text not in _TYPES:
        raise ValueError("Send an event type such as payment.succeeded, or * for all.")
    return text


TypeName = Annotated[str, AfterValidator(_known_type), Field(json_schema_extra={"enum": list(_TYPES)})]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="https on port 443 of a public address. Redirects are not followed.",
        examples=["https://shop.example/webhooks"],
    ),
]
Description = Annotated[str, Field(max_length=500)]
Types = Annotated[
    list[TypeName],
    Field(min_length=1, max_length=len(_TYPES), description="Which events; `*` for all, those to come included."),
]


class CreateWebhookEndpoint(Strict):
    """An endpoint to be told of events."""

    url: Url
    description: Description | None = None
    event_types: Types = Field(default_factory=lambda: ["*"])


class UpdateWebhookEndpoint(Strict):
    """What to change; what is not given stays."""

    url: Url | None = None
    description: Description | None = Field(default=None, description="`null` takes it away.")
    event_types: Types | None = None
    status: Literal["enabled", "disabled"] | None = Field(
        default=None,
        description="A disabled endpoint's messages are held for 30 days, and delivered when it is enabled.",
    )


class RotateSecret(Strict):
    """How to rotate."""

    overlap: int = Field(
        default=int(DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(MAX_OVERLAP.total_seconds()),
        description="Seconds for which messages are signed with the old secret too.",
    )


class Redeliver(Strict):
    """An empty object."""


class WebhookEndpointPath(QueryModel):
    """Names a webhook endpoint."""

    endpoint_id: str = Field(pattern=patterns.identifier(Prefix.WEBHOOK_ENDPOINT))


class WebhookEndpoint(BaseModel):
    """Where events are delivered to."""

    id: str = Field(examples=["we_01jcx5v8g7f2k9w3q4r5s6t7v8"])
    object: Literal["webhook_endpoint"]
    url: str
    description: str | None
    event_types: list[str]
    status: Literal["enabled", "disabled"]
    disabled_reason: Literal["requested", "gone", "failing"] | None = Field(
        description="`gone`: it answered 410; `failing`: it took nothing for three days."
    )
    failing_since: int | None = Field(description="Unix seconds of the first failure since the last success.")
    api_version: str
    secret: str | None = Field(description="Verifies signatures: answered once, when it is made. Not in replays.")
    created: int
    livemode: bool


class WebhookEndpointList(BaseModel):
    """A page of webhook endpoints, newest first."""

    object: Literal["list"]
    data: list[WebhookEndpoint]
    has_more: bool
    next_cursor: str | None


class DeletedWebhookEndpoint(BaseModel):
    """That an endpoint is gone."""

    id: str
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class WebhookDelivery(BaseModel):
    """One attempt to deliver an event."""

    id: str
    object: Literal["webhook_delivery"]
    event: str
    event_type: str
    attempt: int
    status_code: int | None = Field(description="What the receiver answered.")
    error: str | None = Field(description="Why there was no answer.")
    duration_ms: int
    created: int


class WebhookDeliveryList(BaseModel):
    """A page of attempts, newest first; kept for 30 days."""

    object: Literal["list"]
    data: list[WebhookDelivery]
    has_more: bool
    next_cursor: str | None


class EventRedelivery(BaseModel):
    """That an event is on its way again."""

    object: Literal["event_redelivery"]
    event: str
    webhook_endpoints: list[str] = Field(description="Where to: endpoints that are enabled and want it.")


api = APIBlueprint("webhook_endpoints", __name__, url_prefix="/v1", abp_security=[{"api_key": []}])


@api.post("/webhook_endpoints", tags=[_TAG], responses=responses({201: WebhookEndpoint}, *_IDEMPOTENT))
@edge.requires(Scope.WEBHOOKS_WRITE)
def create_webhook_endpoint(body: CreateWebhookEndpoint) -> Response:
    """Register a webhook endpoint.

    The answer holds the signing secret, once: keep it.
    """
    return respond(
        use_cases.create(
            context(),
            principal(),
            idempotent_request(request),
            url=body.url,
            description=body.description,
            event_types=body.event_types,
        )
    )


@api.get("/webhook_endpoints", tags=[_TAG], responses=responses({200: WebhookEndpointList}, ValidationFailed))
@edge.requires(Scope.WEBHOOKS_READ)
def list_webhook_endpoints(query: pagination.PageQuery) -> Response:
    """List webhook endpoints, newest first."""
    before = pagination.decode(query.cursor, patterns.identifier(Prefix.WEBHOOK_ENDPOINT))
    found = use_cases.list_endpoints(
        context(), principal(), before=before[0] if before else None, limit=query.limit + 1
    )
    shown, has_more = pagination.page(found, query.limit)
    cursor = pagination.encode(shown[-1].id) if has_more else None
    data = [endpoint_json(endpoint) for endpoint in shown]
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.get("/webhook_endpoints/<endpoint_id>", tags=[_TAG], responses=responses({200: WebhookEndpoint}, NotFound))
@edge.requires(Scope.WEBHOOKS_READ)
def get_webhook_endpoint(path: WebhookEndpointPath) -> Response:
    """Read a webhook endpoint."""
    return answer_json(endpoint_json(use_cases.get(context(), principal(), path.endpoint_id)))


@api.patch(
    "/webhook_endpoints/<endpoint_id>", tags=[_TAG], responses=responses({200: WebhookEndpoint}, *WITH_BODY, NotFound)
)
@edge.requires(Scope.WEBHOOKS_WRITE)
def update_webhook_endpoint(path: WebhookEndpointPath, body: UpdateWebhookEndpoint) -> Response:
    """Change a webhook endpoint, or disable and enable it."""
    change = EndpointUpdate(
        url=body.url,
        description=body.description,
        clears_description="description" in body.model_fields_set and not body.description,
        event_types=body.event_types,
        status=body.status,
    )
    return answer_json(endpoint_json(use_cases.update(context(), principal(), path.endpoint_id, change)))


@api.delete(
    "/webhook_endpoints/<endpoint_id>", tags=[_TAG], responses=responses({200: DeletedWebhookEndpoint}, NotFound)
)
@edge.requires(Scope.WEBHOOKS_WRITE)
def delete_webhook_endpoint(path: WebhookEndpointPath) -> Response:
    """Delete a webhook endpoint; nothing more is delivered to it."""
    use_cases.delete(context(), principal(), path.endpoint_id)
    return answer_json({"id": path.endpoint_id, "object": "webhook_endpoint", "deleted": True})


@api.post(
    "/webhook_endpoints/<endpoint_id>/rotate_secret",
    tags=[_TAG],
    responses=responses({200: WebhookEndpoint}, *_IDEMPOTENT, NotFound),
)
@edge.requires(Scope.WEBHOOKS_WRITE)
def rotate_webhook_secret(path: WebhookEndpointPath, body: RotateSecret) -> Response:
    """Sign with a new secret; for `overlap` seconds with the old one too."""
    return respond(
        use_cases.rotate_secret(
            context(),
            principal(),
            idempotent_request(request),
            endpoint_id=path.endpoint_id,
            overlap=timedelta(seconds=body.overlap),
        )
    )


@api.get(
    "/webhook_endpoints/<endpoint_id>/deliveries",
    tags=[_TAG],
    responses=responses({200: WebhookDeliveryList}, NotFound, ValidationFailed),
)
@edge.requires(Scope.WEBHOOKS_READ)
def list_webhook_deliveries(path: WebhookEndpointPath, query: pagination.PageQuery) -> Response:
    """List attempts to deliver to an endpoint, newest first."""
    before = pagination.decode(query.cursor, patterns.identifier(Prefix.WEBHOOK_DELIVERY))
    found = use_cases.list_deliveries(
        context(), principal(), path.endpoint_id, before=before[0] if before else None, limit=query.limit + 1
    )
    shown, has_more = pagination.page(found, query.limit)
    cursor = pagination.encode(shown[-1].id) if has_more else None
    data = [delivery_json(delivery) for delivery in shown]
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.post(
    "/events/<event_id>/redeliver",
    tags=[_EVENTS],
    responses=responses({202: EventRedelivery}, *_IDEMPOTENT, NotFound),
)
@edge.requires(Scope.WEBHOOKS_WRITE)
def redeliver_event(path: EventPath, body: Redeliver) -> Response:  # noqa: ARG001
    """Deliver an event again, unchanged, under the same `webhook-id`."""
    return respond(use_cases.redeliver(context(), principal(), idempotent_request(request), event_id=path.event_id))
