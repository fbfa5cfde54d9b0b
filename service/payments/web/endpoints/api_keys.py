"""API keys over HTTP."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, Field

from payments.core.problems import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    IllegalTransition,
    NotFound,
    RequestInProgress,
    ValidationFailed,
)
from payments.domain.api_keys import DEFAULT_OVERLAP, MAX_OVERLAP, Scope
from payments.services import api_keys as use_cases
from payments.web.endpoints.payments import answer_json, principal
from payments.web.http import auth, pagination, patterns
from payments.web.http import guards as edge
from payments.web.http.idempotency import idempotent_request, respond
from payments.web.http.state import context
from payments.web.openapi.api import WITH_BODY, QueryModel, Strict, responses

_TAG = Tag(name="API keys", description="Who may do what. A key can grant only from what it has itself.")
_IDEMPOTENT = (*WITH_BODY, IdempotencyKeyMissing, IdempotencyKeyInvalid, IdempotencyMismatch, RequestInProgress)
_SCOPES = [scope.value for scope in Scope]
_MAX_SECONDS = int(MAX_OVERLAP.total_seconds())


def _known_scope(text: str) -> str:
    if text not in _SCOPES:
        raise ValueError(f"Send one of: {', '.join(_SCOPES)}.")
    return text


def _in_the_future(moment: int) -> int:
    if moment <= time.time():
        raise ValueError("Send a time to come, in seconds since 1970.")
    return moment


ScopeName = Annotated[str, AfterValidator(_known_scope), Field(json_schema_extra={"enum": list(_SCOPES)})]


class CreateApiKey(Strict):
    """A key to be made, in the merchant and mode of the key that asks."""

    name: str = Field(min_length=1, max_length=100, description="Yours, to tell keys apart.", examples=["web shop"])
    scopes: list[ScopeName] = Field(
        min_length=1, max_length=len(_SCOPES), description="What it may do.", examples=[["payments:write"]]
    )
    expires_at: Annotated[int, AfterValidator(_in_the_future)] | None = Field(
        default=None, le=10**11, description="Unix seconds; never if not given."
    )


class RotateApiKey(Strict):
    """How to rotate."""

    overlap: int = Field(
        default=int(DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=_MAX_SECONDS,
        description="Seconds for which the old key still works.",
    )


class RevokeApiKey(Strict):
    """An empty object."""


class ApiKeyPath(QueryModel):
    """Names an API key."""

    key_id: str = Field(pattern=patterns.API_KEY_ID)


class ApiKey(BaseModel):
    """An API key."""

    id: str = Field(examples=["key_01jcx5v8g7f2k9w3q4r5s6t7v8"])
    object: Literal["api_key"]
    name: str
    status: Literal["active", "expired", "revoked"]
    scopes: list[str]
    api_version: str = Field(description="The dated version of the API that it speaks.")
    secret: str | None = Field(description="The key itself: answered once, when it is made. Not in replays.")
    created: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None = Field(description="Written down about once a minute.")
    replaced_by: str | None = Field(description="The key that a rotation put in its place.")
    livemode: bool


class ApiKeyList(BaseModel):
    """A page of API keys, newest first."""

    object: Literal["list"]
    data: list[ApiKey]
    has_more: bool
    next_cursor: str | None


api = APIBlueprint("api_keys", __name__, url_prefix="/v1", abp_security=[{"api_key": []}], abp_tags=[_TAG])


@api.post("/api_keys", responses=responses({201: ApiKey}, *_IDEMPOTENT))
@edge.requires(Scope.API_KEYS_WRITE)
def create_api_key(body: CreateApiKey) -> Response:
    """Make an API key.

    The answer holds the key itself, once: keep it.
    """
    expires_at = None if body.expires_at is None else datetime.fromtimestamp(body.expires_at, UTC)
    answer = use_cases.create(
        context(),
        principal(),
        idempotent_request(request),
        name=body.name,
        scopes=frozenset(Scope(scope) for scope in body.scopes),
        expires_at=expires_at,
    )
    return respond(answer)


@api.get("/api_keys", responses=responses({200: ApiKeyList}, ValidationFailed))
@edge.requires(Scope.API_KEYS_READ)
def list_api_keys(query: pagination.PageQuery) -> Response:
    """List API keys, newest first, without their secrets."""
    before = pagination.decode(query.cursor, patterns.API_KEY_ID)
    found = use_cases.list_keys(context(), principal(), before=before[0] if before else None, limit=query.limit + 1)
    shown, has_more = pagination.page(found, query.limit)
    now = context().now()
    cursor = pagination.encode(shown[-1].id) if has_more else None
    data = [use_cases.key_json(key, now) for key in shown]
    return answer_json(pagination.listing(data, has_more=has_more, next_cursor=cursor))


@api.post("/api_keys/<key_id>/rotate", responses=responses({201: ApiKey}, *_IDEMPOTENT, NotFound, IllegalTransition))
@edge.requires(Scope.API_KEYS_WRITE)
def rotate_api_key(path: ApiKeyPath, body: RotateApiKey) -> Response:
    """Put a new key in the place of one.

    The old key works for `overlap` seconds more; both have the same scopes. Replays under Idempotency-Keys work across
    the rotation, since those belong to the merchant.
    """
    answer = use_cases.rotate(
        context(),
        principal(),
        idempotent_request(request),
        key_id=path.key_id,
        overlap=timedelta(seconds=body.overlap),
    )
    auth.authenticator().forget(path.key_id)
    return respond(answer)


@api.post("/api_keys/<key_id>/revoke", responses=responses({200: ApiKey}, *_IDEMPOTENT, NotFound))
@edge.requires(Scope.API_KEYS_WRITE)
def revoke_api_key(path: ApiKeyPath, body: RevokeApiKey) -> Response:  # noqa: ARG001
    """End an API key, for good, within five seconds everywhere."""
    answer = use_cases.revoke(context(), principal(), idempotent_request(request), key_id=path.key_id)
    auth.authenticator().forget(path.key_id)
    return respond(answer)
