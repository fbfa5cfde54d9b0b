"""The Flask application class whose OpenAPI 3.1 document is made from the views' types and the errors they raise."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payments.core.problems import (
    ApiError,
    CardNumberRefused,
    ContentTooLarge,
    IdempotencyKeyMissing,
    InternalError,
    MalformedRequest,
    NotFound,
    ScopeMissing,
    ServiceUnavailable,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationFailed,
)
from payments.web.http import card_guard, strict_json
from payments.web.http import validation_errors as mistakes
from payments.web.http.problems import MEDIA_TYPE
from payments.web.openapi import examples

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
#: What any authenticated operation may answer, and what any with a body may answer besides.
ALWAYS: tuple[type[ApiError], ...] = (
    MalformedRequest,
    CardNumberRefused,
    Unauthenticated,
    ScopeMissing,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
)
WITH_BODY: tuple[type[ApiError], ...] = (ContentTooLarge, UnsupportedMediaType, ValidationFailed)
#: A model of path parameters has a name with this ending: a malformed id is a 404, not a 422.
_PATH_SUFFIX = "Path"
_RULE_PARAMETER = re.compile(r"<(?:[^<:>]+:)?([^<>]+)>")
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A new random value for each new request; the same for its repetitions, which are executed once and "
    "answered alike, with `Idempotency-Replayed: true`, for 72 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "4c9f1f5e-2a3b-4b53-9d0e-6f0f1f2a7c11",
}
_REQUEST_ID = {"description": "Finds our log of this request.", "schema": {"type": "string"}}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to send the same again, with the same Idempotency-Key; where that helps.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_RETRIED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_REPLAYED = {
    "Idempotency-Replayed": {
        "description": "On the answer to a repetition of an earlier request: nothing was executed again.",
        "schema": {"const": "true"},
    }
}
_EXAMPLE_ID = "req_0b2f6c8e5d6f4b0c9a1f3f1f7c2f9d11"


class Strict(BaseModel):
    """Base of every request body: exact types, no unknown members."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class QueryModel(BaseModel):
    """Base of every set of query parameters: text is read as the type it stands for, no unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The schema, made once: the library asks for it at every request, which took longer than all the rest."""
        return super().model_json_schema(*args, **kwargs)


class Mistake(BaseModel):
    """One mistake in a request."""

    pointer: str = Field(description="Where, as a JSON pointer into the body, or the query parameter's name.")
    detail: str = Field(description="What is wrong, or what to send.")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Leads to the error's documentation, relative to this API.")
    title: str = Field(description="The kind of error, always the same words for the same code.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong this time, and what to do.")
    code: str = Field(description="The kind of error, for programs. See /docs#errors.")
    request_id: str = Field(description="Finds our log of this request.")
    errors: list[Mistake] | None = Field(default=None, description="Each mistake, for validation_failed.")
    state: str | None = Field(default=None, description="The object's state, for illegal_transition.")
    allowed: list[str] | None = Field(default=None, description="What that state allows, for illegal_transition.")
    decline_code: str | None = Field(default=None, description="Why the processor refused, for payment_failed.")
    advice: str | None = Field(default=None, description="What to do about it, for payment_failed.")
    retryable: bool | None = Field(default=None, description="Whether trying again can help, for payment_failed.")
    payment: dict[str, Any] | None = Field(default=None, description="The payment as it is now, for payment_failed.")
    refund: dict[str, Any] | None = Field(default=None, description="The refund, for payment_failed of a refund.")
    scopes: list[str] | None = Field(default=None, description="What the key lacks, for scope_missing.")


class StrictRequest(Request):
    """A request whose JSON is read by `strict_json` and looked through by `card_guard`, wherever it is read."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002
        """The body, which must be an object. Never silent, whatever is asked: a bad body is an answer of its own."""
        if not hasattr(self, "_strict"):
            value = strict_json.read(self)
            card_guard.refuse_in_body(value)
            if not isinstance(value, dict):
                detail = "Send a JSON object as the body."
                raise ValidationFailed(detail, errors=[{"pointer": "#", "detail": detail}])
            self._strict = value
        return self._strict


def refuse_invalid(error: ValidationError) -> NoReturn:
    """Tell a pydantic error as a problem, without the values that were sent."""
    if error.title.endswith(_PATH_SUFFIX):
        raise NotFound("There is no such object. Check the id and that the key is of the right merchant and mode.")
    found = mistakes.listed(error)
    more = f" See errors for {len(found) - 1} more." if len(found) > 1 else ""
    raise ValidationFailed(f"{found[0]['pointer']}: {found[0]['detail']}{more}", errors=found)


def responses(
    success: Mapping[int, Any], *errors: type[ApiError], always: Iterable[type[ApiError]] = ALWAYS
) -> ResponseDict:
    """The answers of an operation: models by status, then ``errors`` and those that any operation may answer."""
    found: ResponseDict = {str(status): model for status, model in success.items()}
    by_status: dict[int, list[type[ApiError]]] = {}
    for error in dict.fromkeys((*errors, *always)):
        by_status.setdefault(error.status, []).append(error)
    for status, kinds in sorted(by_status.items()):
        found[str(status)] = _error_response(status, kinds)
    return found


def _error_response(status: int, kinds: list[type[ApiError]]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in kinds),
        "headers": {"Request-Id": _REQUEST_ID, **(_RETRY_AFTER if status in _RETRIED else {})},
        "content": {
            MEDIA_TYPE: {
                "schema": _PROBLEM,
                "examples": {kind.code: {"value": _example(kind, status)} for kind in kinds},
            }
        },
    }


def _example(kind: type[ApiError], status: int) -> dict[str, Any]:
    words = (kind.__doc__ or kind.title).split("\n", maxsplit=1)[0]
    return {
        "type": f"/docs#{kind.code}",
        "title": kind.title,
        "status": status,
        "detail": words,
        "code": kind.code,
        "request_id": _EXAMPLE_ID,
    }


class Api(OpenAPI):
    """Flask with the strict request, and with a document in which every error is a problem."""

    request_class = StrictRequest

    def __init__(self, import_name: str, *, info: Info) -> None:
        super().__init__(
            import_name,
            info=info,
            security_schemes={
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `sk_test_...` or `sk_live_...`.",
                }
            },
            validation_error_model=Problem,
            validation_error_callback=refuse_invalid,
            doc_ui=False,
            static_folder=None,
        )
        # A path with a slash at its end, or with two in a row, is another path, and there is none.
        self.url_map.strict_slashes = True
        self.url_map.merge_slashes = False
        self.url_map.redirect_defaults = False

    def generate_spec_json(self) -> None:
        """Generate, then undo what the library adds or mangles."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        schemas = self.spec_json["components"]["schemas"]
        schemas.update({name: schema for name, schema in _whole_schemas().items() if name in schemas})
        for member in ("payment", "refund"):  # their models are made from what is in this module
            if member.title() in schemas:
                reference = {"$ref": f"#/components/schemas/{member.title()}"}
                schemas["Problem"]["properties"][member]["anyOf"] = [reference, {"type": "null"}]
        paths = self.spec_json["paths"]
        for rule in self.url_map.iter_rules():
            item = paths.get(_RULE_PARAMETER.sub(r"{\1}", rule.rule), {})
            for method in rule.methods or ():
                if method.lower() in item:
                    _tidy(item[method.lower()], name=rule.endpoint.rpartition(".")[2])
        examples.add(self.spec_json)


def _whole_schemas() -> dict[str, dict[str, Any]]:
    """Schemas by name, as pydantic makes them: the library's own copies lack keywords such as ``examples``."""
    found: dict[str, dict[str, Any]] = {}
    pending: list[type[BaseModel]] = [BaseModel]
    while pending:
        for model in pending.pop().__subclasses__():
            pending.append(model)
            if not model.__module__.startswith(("flask_openapi3", "pydantic")):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                found[model.__name__] = {name: value for name, value in schema.items() if name != "$defs"}
    return found


def _tidy(operation: dict[str, Any], *, name: str) -> None:
    """A short operation id; the header of idempotency; and without the library's own 422 and its markup."""
    first, *rest = name.split("_")
    operation["operationId"] = first + "".join(word.capitalize() for word in rest)
    answers = operation["responses"]
    unprocessable = answers.get(str(HTTPStatus.UNPROCESSABLE_ENTITY), {})
    if "application/json" in unprocessable.get("content", {}):
        del answers[str(HTTPStatus.UNPROCESSABLE_ENTITY)]
    if "description" in operation:
        operation["description"] = operation["description"].replace("<br/>", "\n").strip()
    malformed = answers.get(str(HTTPStatus.BAD_REQUEST), {}).get("content", {}).get(MEDIA_TYPE, {})
    if IdempotencyKeyMissing.code in malformed.get("examples", {}):
        operation["parameters"] = [*operation.get("parameters", ()), _IDEMPOTENCY_KEY]
        for status, answer in answers.items():
            if status.startswith("2") or status == str(HTTPStatus.PAYMENT_REQUIRED):
                answer["headers"] = {**answer.get("headers", {}), **_REPLAYED}
