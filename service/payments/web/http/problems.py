"""Errors as responses: RFC 9457 problems for whatever is raised, with the request ID of the log line."""

import json
import logging
import secrets
from http import HTTPStatus

from flask import Flask, Response, g, has_request_context, request
from werkzeug.exceptions import HTTPException

from payments.core.problems import (
    ApiError,
    ContentTooLarge,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    UnsupportedMediaType,
)
from payments.observability import logs

MEDIA_TYPE = "application/problem+json"
#: Header of every response; its value finds the log line.
REQUEST_ID_HEADER = "Request-Id"
_log = logging.getLogger("payments.web")

#: The text for errors on our side.
INTERNAL_ERROR_DETAIL = "An error occurred on our side. Quote the request_id when you report it."
#: Problems for the errors that Flask and Werkzeug raise.
_BY_STATUS: dict[int, tuple[type[ApiError], str]] = {
    400: (MalformedRequest, "The request cannot be parsed. Check its headers and body."),
    404: (NotFound, "No such path. See /docs for the available ones."),
    405: (MethodNotAllowed, "The path does not support this method. The Allow header lists those it supports."),
    413: (ContentTooLarge, "The request body is too large. Send at most 64 KiB."),
    415: (UnsupportedMediaType, "Send the body as application/json."),
    429: (TooManyRequests, "Too many requests. Slow down and retry."),
    503: (ServiceUnavailable, "The service is temporarily unavailable. Retry in a second."),
}


def new_request_id() -> str:
    """Return an ID for a response: 128 random bits."""
    return f"req_{secrets.token_hex(16)}"


def current_request_id() -> str:
    """Return the ID of the current request, created on first use: ours, never the client's."""
    if not has_request_context():
        return "none"
    request_id = g.get("request_id")
    if request_id is None:
        request_id = g.request_id = new_request_id()
    return str(request_id)


def problem_response(error: ApiError) -> Response:
    """Return ``error`` as a response."""
    logs.annotate(problem=error.code)
    response = Response(json.dumps(error.body(current_request_id())), status=error.status, content_type=MEDIA_TYPE)
    response.headers.update(error.headers)
    return response


def _http_exception(exception: HTTPException) -> Response:
    """Return an error that Flask raised, with our text and its Allow and Retry-After headers."""
    code = exception.code or 500
    if code < HTTPStatus.BAD_REQUEST:
        return Response(status=code, headers=exception.get_headers())
    known = _BY_STATUS.get(code)
    if known is None:
        return _unexpected(exception) if code >= HTTPStatus.INTERNAL_SERVER_ERROR else _other(code)
    problem, detail = known
    response = problem_response(problem(detail))
    for name, value in exception.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


def _other(code: int) -> Response:
    """Return a client error without a problem class, such as 406, 408 or 431."""
    detail = "The request was rejected. Check its headers and body."
    logs.annotate(problem=MalformedRequest.code)
    body = problem_body(HTTPStatus(code), detail, current_request_id())
    return Response(json.dumps(body), status=code, content_type=MEDIA_TYPE)


def problem_body(status: HTTPStatus, detail: str, request_id: str) -> dict[str, object]:
    """Return a problem by its status alone; one without a problem class, such as 408 or 431, is named by the status."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalError(detail).body(request_id)
    if status in _BY_STATUS:
        return _BY_STATUS[status][0](detail).body(request_id)
    body = MalformedRequest(detail).body(request_id)
    return {**body, "type": "about:blank", "title": status.phrase, "status": status.value}


def _unexpected(exception: Exception) -> Response:
    """Log everything; tell the client only the request ID."""
    _log.error(
        "unexpected error",
        exc_info=exception,
        extra={"request_id": current_request_id(), "method": request.method, "endpoint": request.endpoint},
    )
    return problem_response(InternalError(INTERNAL_ERROR_DETAIL))


def register(app: Flask) -> None:
    """Make ``app`` return every error as a problem, and every response with its request ID."""

    def add_request_id(response: Response) -> Response:
        response.headers[REQUEST_ID_HEADER] = current_request_id()
        return response

    app.register_error_handler(ApiError, problem_response)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _unexpected)
    app.after_request(add_request_id)
