"""Endpoints of API keys: create, list, rotate, revoke."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, Field

from payments.core.problems import IllegalTransition, NotFound, ValidationFailed
from payments.domain.api_keys import DEFAULT_OVERLAP, MAX_OVERLAP, Scope
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.services import api_keys as use_cases
from payments.web.http import patterns
from payments.web.http.auth import authenticator, principal
from payments.web.http.context import context
from payments.web.http.guards import requires
from payments.web.http.idempotency import idempotent_request
from payments.web.http.models import MAX_TIME, Parameters, RequestBody, Text
from payments.web.http.pagination import Page, PageQuery, id_cursor, page_response
from payments.web.http.responses import idempotent_response
from payments.web.openapi.responses import API_KEY, IDEMPOTENT, responses

_CURSOR = id_cursor(patterns.API_KEY_ID)
#: In examples.
_KEY_ID = "key_01jcx66n7ta5d8v2y4m9w3hkqr"
_SCOPES = [scope.value for scope in Scope]
_TAG = Tag(name="API keys", description="Who may do what. A key can grant only its own scopes.")


def _check_scope(text: str) -> str:
    if text not in _SCOPES:
        raise ValueError(f"Must be one of: {', '.join(_SCOPES)}.")
    return text


ScopeName = Annotated[str, AfterValidator(_check_scope), Field(json_schema_extra={"enum": list(_SCOPES)})]


class CreateApiKey(RequestBody):
    """The key to create, in the merchant and mode of the calling key."""

    name: Text = Field(
        min_length=1, max_length=100, description="Your own name for it, to tell keys apart.", examples=["web shop"]
    )
    scopes: list[ScopeName] = Field(
        min_length=1, max_length=len(_SCOPES), description="What it may do.", examples=[["payments:write"]]
    )
    expires_at: int | None = Field(
        default=None, ge=0, le=MAX_TIME, description="A time in the future, in Unix seconds. Default: never."
    )


class RotateApiKey(RequestBody):
    """How to rotate the key."""

    overlap: int = Field(
        default=int(DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(MAX_OVERLAP.total_seconds()),
        examples=[3600],
        description="Seconds for which the old key keeps working.",
    )


class RevokeApiKey(RequestBody):
    """An empty object."""


class ApiKeyPath(Parameters):
    """Identifies an API key."""

    key_id: str = Field(
        pattern=patterns.API_KEY_ID, description="ID of the API key.", json_schema_extra={"example": _KEY_ID}
    )


class ApiKeysQuery(PageQuery):
    """Which API keys."""

    cursor: str | None = _CURSOR.field()


class ApiKey(BaseModel):
    """An API key."""

    id: str = Field(examples=[_KEY_ID])
    object: Literal["api_key"]
    name: str = Field(description="Your own name for it.", examples=["web shop"])
    status: Literal["active", "expired", "revoked"]
    scopes: list[str] = Field(description="What it may do.", examples=[["payments:write"]])
    api_version: str = Field(description="The dated API version that the key uses.", examples=[CURRENT_API_VERSION])
    secret: str | None = Field(
        description="The key itself, returned only once, at creation. Null otherwise.", examples=[None]
    )
    created: int = Field(description="Unix seconds.", examples=[1795400000])
    expires_at: int | None = Field(description="Unix seconds.", examples=[None])
    revoked_at: int | None = Field(description="Unix seconds.", examples=[None])
    last_used_at: int | None = Field(description="Unix seconds, updated about once a minute.", examples=[None])
    replaced_by: str | None = Field(description="ID of the key that replaced it in a rotation.", examples=[None])
    livemode: bool


api = APIBlueprint("api_keys", __name__, url_prefix="/v1", abp_security=API_KEY, abp_tags=[_TAG])


@api.post("/api_keys", responses=responses({201: ApiKey}, *IDEMPOTENT))
@requires(Scope.API_KEYS_WRITE)
def create_api_key(body: CreateApiKey) -> Response:
    """Create an API key.

    The response is the only one that contains the key itself: store it.
    """
    expires_at = None if body.expires_at is None else datetime.fromtimestamp(body.expires_at, UTC)
    scopes = frozenset(Scope(scope) for scope in body.scopes)
    response = use_cases.create(
        context(), principal(), idempotent_request(), name=body.name, scopes=scopes, expires_at=expires_at
    )
    return idempotent_response(response)


@api.get("/api_keys", responses=responses({200: Page[ApiKey]}, ValidationFailed))
@requires(Scope.API_KEYS_READ)
def list_api_keys(query: ApiKeysQuery) -> Response:
    """List API keys, newest first, without their secrets."""
    before = _CURSOR.read(query)
    found = use_cases.list_keys(context(), principal(), before=before, limit=query.limit + 1)
    return page_response(query, _CURSOR, found, use_cases.key_json)


@api.post("/api_keys/<key_id>/rotate", responses=responses({201: ApiKey}, *IDEMPOTENT, NotFound, IllegalTransition))
@requires(Scope.API_KEYS_WRITE)
def rotate_api_key(path: ApiKeyPath, body: RotateApiKey) -> Response:
    """Replace an API key with a new one.

    The old key keeps working for `overlap` seconds; both have the same scopes. Idempotency-Keys belong to the
    merchant, so replays keep working across the rotation.
    """
    overlap = timedelta(seconds=body.overlap)
    response = use_cases.rotate(context(), principal(), idempotent_request(), key_id=path.key_id, overlap=overlap)
    authenticator().forget(path.key_id)
    return idempotent_response(response)


@api.post("/api_keys/<key_id>/revoke", responses=responses({200: ApiKey}, *IDEMPOTENT, NotFound))
@requires(Scope.API_KEYS_WRITE)
def revoke_api_key(path: ApiKeyPath, body: RevokeApiKey) -> Response:  # noqa: ARG001 - only validated
    """Revoke an API key permanently; takes effect everywhere within five seconds."""
    response = use_cases.revoke(context(), principal(), idempotent_request(), key_id=path.key_id)
    authenticator().forget(path.key_id)
    return idempotent_response(response)
