"""Endpoints of webhook endpoints and their deliveries."""

from datetime import timedelta
from typing import Annotated, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, Field

from payments.core.problems import NotFound, OutcomeUnknown, ValidationFailed
from payments.delivery.addresses import MAX_URL_LENGTH, WEBHOOK_URL
from payments.domain.api_keys import Scope
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.events import EventType
from payments.domain.ids import Prefix
from payments.domain.webhooks import DEFAULT_OVERLAP, MAX_OVERLAP
from payments.services import webhook_endpoints as use_cases
from payments.services.webhook_endpoints import EndpointUpdate, delivery_json, endpoint_json
from payments.web.http import patterns
from payments.web.http.auth import principal
from payments.web.http.context import context
from payments.web.http.guards import requires
from payments.web.http.idempotency import idempotent_request
from payments.web.http.models import Parameters, RequestBody, Text
from payments.web.http.pagination import Page, PageQuery, id_cursor, page_response
from payments.web.http.responses import idempotent_response, json_response
from payments.web.openapi.responses import API_KEY, IDEMPOTENT, WITH_BODY, responses

_CURSOR = id_cursor(patterns.identifier(Prefix.WEBHOOK_ENDPOINT))
_DELIVERY_CURSOR = id_cursor(patterns.identifier(Prefix.WEBHOOK_DELIVERY))
#: In examples.
_ENDPOINT_ID, _URL = "we_01jcx64d9hq3v7mz2kf8p5rtyn", "https://shop.example/webhooks"
_EVENT_TYPES = ["*", *(event_type.value for event_type in EventType)]
_TAG = Tag(
    name="Webhooks",
    description="Events pushed to you, signed as in Standard Webhooks: at least once, in any order; `sequence` "
    "gives the order.",
)


def _check_event_type(text: str) -> str:
    if text not in _EVENT_TYPES:
        raise ValueError("Must be an event type such as payment.succeeded, or * for all.")
    return text


EventTypeName = Annotated[str, AfterValidator(_check_event_type), Field(json_schema_extra={"enum": list(_EVENT_TYPES)})]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="https on port 443 of a public host name. Redirects are not followed.",
        examples=[_URL],
        # Checked by the service: for development, an environment may allow receivers on the same machine.
        json_schema_extra={"pattern": WEBHOOK_URL},
    ),
]
Description = Annotated[Text, Field(max_length=500)]
EventTypes = Annotated[
    list[EventTypeName],
    Field(
        min_length=1,
        max_length=len(_EVENT_TYPES),
        description="Events to subscribe to; `*` means all, including future ones.",
    ),
]


class CreateWebhookEndpoint(RequestBody):
    """The endpoint to deliver events to."""

    url: Url
    description: Description | None = None
    event_types: EventTypes = Field(default_factory=lambda: ["*"])


class UpdateWebhookEndpoint(RequestBody):
    """What to change; omitted fields stay as they are."""

    url: Url | None = None
    description: Description | None = Field(default=None, description="`null` removes it.")
    event_types: EventTypes | None = None
    status: Literal["enabled", "disabled"] | None = Field(
        default=None,
        examples=["enabled"],
        description="Messages to a disabled endpoint are held for 30 days and delivered once it is enabled.",
    )


class RotateSecret(RequestBody):
    """How to rotate the secret."""

    overlap: int = Field(
        default=int(DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(MAX_OVERLAP.total_seconds()),
        examples=[3600],
        description="Seconds for which messages are signed with the old secret as well.",
    )


class WebhookEndpointPath(Parameters):
    """Identifies a webhook endpoint."""

    endpoint_id: str = Field(
        pattern=patterns.identifier(Prefix.WEBHOOK_ENDPOINT),
        description="ID of the webhook endpoint.",
        json_schema_extra={"example": _ENDPOINT_ID},
    )


class WebhookEndpointsQuery(PageQuery):
    """Which webhook endpoints."""

    cursor: str | None = _CURSOR.field()


class WebhookDeliveriesQuery(PageQuery):
    """Which deliveries."""

    cursor: str | None = _DELIVERY_CURSOR.field()


class WebhookEndpoint(BaseModel):
    """Where events are delivered to."""

    id: str = Field(examples=[_ENDPOINT_ID])
    object: Literal["webhook_endpoint"]
    url: str = Field(description="Where events are delivered to.", examples=[_URL])
    description: str | None = Field(description="Your own note.", examples=[None])
    event_types: list[str] = Field(description="The events it wants.", examples=[["*"]])
    status: Literal["enabled", "disabled"]
    disabled_reason: Literal["requested", "gone", "failing"] | None = Field(
        description="`gone`: it returned 410; `failing`: no delivery succeeded for three days.",
        examples=[None],
    )
    failing_since: int | None = Field(
        description="Unix seconds of the first failure since the last success.", examples=[None]
    )
    api_version: str = Field(description="The dated version of its events.", examples=[CURRENT_API_VERSION])
    secret: str | None = Field(
        description="The key that verifies signatures, returned only once, at creation and rotation. Null otherwise.",
        examples=[None],
    )
    created: int = Field(description="Unix seconds.", examples=[1795400000])
    livemode: bool


class DeletedWebhookEndpoint(BaseModel):
    """A webhook endpoint that was deleted."""

    id: str = Field(examples=[_ENDPOINT_ID])
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class WebhookDelivery(BaseModel):
    """One attempt to deliver an event, kept for 30 days."""

    id: str = Field(examples=["del_01jcx5v9w8c3e6g2j5m7p4rtxz"])
    object: Literal["webhook_delivery"]
    event: str = Field(description="ID of the event.", examples=["evt_01jcx5v8kp6d2f9h4n7q8s3wye"])
    event_type: str = Field(examples=["payment.succeeded"])
    attempt: int = Field(description="1 for the first.", examples=[1])
    status_code: int | None = Field(description="The receiver's HTTP status.", examples=[200])
    error: str | None = Field(description="Why there was no response.", examples=[None])
    duration_ms: int = Field(description="Milliseconds.", examples=[84])
    created: int = Field(description="Unix seconds.", examples=[1795500001])


api = APIBlueprint("webhook_endpoints", __name__, url_prefix="/v1", abp_security=API_KEY, abp_tags=[_TAG])


@api.post("/webhook_endpoints", responses=responses({201: WebhookEndpoint}, *IDEMPOTENT))
@requires(Scope.WEBHOOKS_WRITE)
def create_webhook_endpoint(body: CreateWebhookEndpoint) -> Response:
    """Create a webhook endpoint.

    The response is the only one that contains the signing secret: store it.
    """
    response = use_cases.create(
        context(),
        principal(),
        idempotent_request(),
        url=body.url,
        description=body.description,
        event_types=body.event_types,
    )
    return idempotent_response(response)


@api.get("/webhook_endpoints", responses=responses({200: Page[WebhookEndpoint]}, ValidationFailed))
@requires(Scope.WEBHOOKS_READ)
def list_webhook_endpoints(query: WebhookEndpointsQuery) -> Response:
    """List webhook endpoints, newest first."""
    found = use_cases.list_endpoints(context(), principal(), before=_CURSOR.read(query), limit=query.limit + 1)
    return page_response(query, _CURSOR, found, endpoint_json)


@api.get("/webhook_endpoints/<endpoint_id>", responses=responses({200: WebhookEndpoint}, NotFound))
@requires(Scope.WEBHOOKS_READ)
def get_webhook_endpoint(path: WebhookEndpointPath) -> Response:
    """Get a webhook endpoint."""
    return json_response(endpoint_json(use_cases.get(context(), principal(), path.endpoint_id)))


@api.patch("/webhook_endpoints/<endpoint_id>", responses=responses({200: WebhookEndpoint}, *WITH_BODY, NotFound))
@requires(Scope.WEBHOOKS_WRITE)
def update_webhook_endpoint(path: WebhookEndpointPath, body: UpdateWebhookEndpoint) -> Response:
    """Update, disable or enable a webhook endpoint."""
    update = EndpointUpdate(
        url=body.url,
        description=body.description,
        clears_description="description" in body.model_fields_set and not body.description,
        event_types=body.event_types,
        status=body.status,
    )
    return json_response(endpoint_json(use_cases.update(context(), principal(), path.endpoint_id, update)))


@api.delete(
    "/webhook_endpoints/<endpoint_id>", responses=responses({200: DeletedWebhookEndpoint}, NotFound, OutcomeUnknown)
)
@requires(Scope.WEBHOOKS_WRITE)
def delete_webhook_endpoint(path: WebhookEndpointPath) -> Response:
    """Delete a webhook endpoint; nothing more is delivered to it."""
    use_cases.delete(context(), principal(), path.endpoint_id)
    return json_response({"id": path.endpoint_id, "object": "webhook_endpoint", "deleted": True})


@api.post(
    "/webhook_endpoints/<endpoint_id>/rotate_secret", responses=responses({200: WebhookEndpoint}, *IDEMPOTENT, NotFound)
)
@requires(Scope.WEBHOOKS_WRITE)
def rotate_webhook_secret(path: WebhookEndpointPath, body: RotateSecret) -> Response:
    """Replace the signing secret; for `overlap` seconds messages are signed with both."""
    overlap = timedelta(seconds=body.overlap)
    response = use_cases.rotate_secret(
        context(), principal(), idempotent_request(), endpoint_id=path.endpoint_id, overlap=overlap
    )
    return idempotent_response(response)


@api.get(
    "/webhook_endpoints/<endpoint_id>/deliveries",
    responses=responses({200: Page[WebhookDelivery]}, NotFound, ValidationFailed),
)
@requires(Scope.WEBHOOKS_READ)
def list_webhook_deliveries(path: WebhookEndpointPath, query: WebhookDeliveriesQuery) -> Response:
    """List attempts to deliver to an endpoint, newest first."""
    before = _DELIVERY_CURSOR.read(query)
    found = use_cases.list_deliveries(context(), principal(), path.endpoint_id, before=before, limit=query.limit + 1)
    return page_response(query, _DELIVERY_CURSOR, found, delivery_json)
