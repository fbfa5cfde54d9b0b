"""The responses of operations in the OpenAPI document: success models, and the problems that they may raise."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, Field

from payments.core.problems import (
    ApiError,
    CardNumberRefused,
    ContentTooLarge,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    InternalError,
    MalformedRequest,
    OutcomeUnknown,
    RequestInProgress,
    ScopeMissing,
    ServiceUnavailable,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationFailed,
)
from payments.web.http.problems import MEDIA_TYPE

#: Security requirement of operations that need an API key, in either form.
API_KEY: list[dict[str, list[str]]] = [{"api_key": []}, {"basic": []}]
#: Problems of every operation that needs an API key.
ALWAYS: tuple[type[ApiError], ...] = (
    MalformedRequest,
    CardNumberRefused,
    Unauthenticated,
    ScopeMissing,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
)
#: Problems of operations with a body, which change something.
WITH_BODY: tuple[type[ApiError], ...] = (ContentTooLarge, UnsupportedMediaType, ValidationFailed, OutcomeUnknown)
#: Problems of operations with an Idempotency-Key.
IDEMPOTENT: tuple[type[ApiError], ...] = (
    *WITH_BODY,
    IdempotencyKeyMissing,
    IdempotencyKeyInvalid,
    IdempotencyMismatch,
    RequestInProgress,
)
#: Problems of every operation that anybody may call.
PUBLIC: tuple[type[ApiError], ...] = (
    MalformedRequest,
    CardNumberRefused,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
)
#: Header of every response.
REQUEST_ID = {"description": "Identifies this request in our logs.", "schema": {"type": "string"}}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait before sending the same request again with the same Idempotency-Key. Absent "
        "where a retry cannot help.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_AUTHENTICATE = {
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
}
_RETRYABLE = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_EXAMPLE_ID = "req_0b2f6c8e5d6f4b0c9a1f3f1f7c2f9d11"


class FieldError(BaseModel):
    """An invalid field of a request."""

    pointer: str = Field(description="A JSON pointer into the body, or the query parameter's name.")
    detail: str = Field(description="What is wrong, or what to send.")


class Problem(BaseModel):
    """An error, as in RFC 9457."""

    type: str = Field(description="URL of the error's documentation, relative to this API.")
    title: str = Field(description="The kind of error, the same text for every error with this code.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong this time, and what to do.")
    code: str = Field(description="The kind of error, for programs. See /docs#errors.")
    request_id: str = Field(description="Identifies this request in our logs.")
    errors: list[FieldError] | None = Field(default=None, description="Each invalid field, for validation_failed.")
    state: str | None = Field(default=None, description="The object's state, for illegal_transition.")
    allowed: list[str] | None = Field(default=None, description="What that state allows, for illegal_transition.")
    decline_code: str | None = Field(default=None, description="Why the processor declined, for payment_failed.")
    advice: str | None = Field(default=None, description="What to do about it, for payment_failed.")
    retryable: bool | None = Field(default=None, description="Whether a retry can succeed, for payment_failed.")
    payment: dict[str, Any] | None = Field(default=None, description="The current payment, for payment_failed.")
    refund: dict[str, Any] | None = Field(default=None, description="The refund, for payment_failed of a refund.")
    scopes: list[str] | None = Field(default=None, description="The scopes that the key lacks, for scope_missing.")


def responses(
    success: Mapping[int, Any], *errors: type[ApiError], always: Iterable[type[ApiError]] = ALWAYS
) -> ResponseDict:
    """Return the responses of an operation.

    Args:
        success: Models, or descriptions of non-JSON responses, by status.
        errors: Problems of this operation.
        always: Problems of every operation of its kind.
    """
    result: ResponseDict = {str(status): model for status, model in success.items()}
    by_status: dict[int, list[type[ApiError]]] = {}
    for error in dict.fromkeys((*errors, *always)):
        by_status.setdefault(error.status, []).append(error)
    for status, kinds in sorted(by_status.items()):
        result[str(status)] = _error_response(status, kinds)
    return result


def _error_response(status: int, kinds: list[type[ApiError]]) -> dict[str, Any]:
    retryable = status in _RETRYABLE or OutcomeUnknown in kinds
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in kinds),
        "headers": {
            **(_RETRY_AFTER if retryable else {}),
            **(_AUTHENTICATE if status == HTTPStatus.UNAUTHORIZED else {}),
        },
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: type[ApiError]) -> dict[str, Any]:
    return {
        "type": f"/docs#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": (kind.__doc__ or kind.title).split("\n", maxsplit=1)[0].replace("``", "`"),
        "code": kind.code,
        "request_id": _EXAMPLE_ID,
    }
