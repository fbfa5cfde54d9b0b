"""Errors as answers: RFC 9457 problems for whatever is raised, with the request id that finds the log line."""

import json
import logging
import uuid
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
#: Header of every answer that finds its log line.
REQUEST_ID_HEADER = "Request-Id"
_log = logging.getLogger("payments.web")

#: How an error of Flask or Werkzeug itself is told.
_BY_STATUS: dict[int, tuple[type[ApiError], str]] = {
    400: (MalformedRequest, "The request cannot be read. Check its headers and body."),
    404: (NotFound, "There is nothing at this path. See /docs for what there is."),
    405: (MethodNotAllowed, "This path does not take this method. The Allow header lists those it takes."),
    413: (ContentTooLarge, "The request body is too large. Send at most 64 KiB."),
    415: (UnsupportedMediaType, "Send the body as application/json."),
    429: (TooManyRequests, "Too many requests. Slow down and try again."),
    503: (ServiceUnavailable, "The service is temporarily unavailable. Try again in a second."),
}


def current_request_id() -> str:
    """The id of the request being served, made on first use; it is ours, never the client's."""
    if not has_request_context():
        return "none"
    if "request_id" not in g:
        g.request_id = f"req_{uuid.uuid4().hex}"
    return str(g.request_id)


def problem_response(error: ApiError) -> Response:
    """``error`` as an answer."""
    logs.annotate(problem=error.code)
    response = Response(json.dumps(error.body(current_request_id())), status=error.status, content_type=MEDIA_TYPE)
    response.headers.update(error.headers)
    return response


def _http_exception(exception: HTTPException) -> Response:
    """An error that Flask raised: same words for everybody, its headers (Allow, Retry-After) kept."""
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
    """A client error without a class of its own, such as 406, 408 or 431."""
    error = MalformedRequest("The request was refused. Check its headers and body.")
    response = problem_response(error)
    body = {**error.body(current_request_id()), "type": "about:blank", "title": HTTPStatus(code).phrase, "status": code}
    response.set_data(json.dumps(body))
    response.status_code = code
    return response


def _unexpected(exception: Exception) -> Response:
    """The log gets everything, the client the request id."""
    _log.error(
        "unexpected error",
        exc_info=exception,
        extra={"request_id": current_request_id(), "method": request.method, "endpoint": request.endpoint},
    )
    return problem_response(InternalError("Something went wrong on our side. Quote the request_id when you report it."))


def register(app: Flask) -> None:
    """Make ``app`` answer every error as a problem and stamp every answer with its request id."""

    def stamp(response: Response) -> Response:
        response.headers[REQUEST_ID_HEADER] = current_request_id()
        return response

    app.register_error_handler(ApiError, problem_response)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _unexpected)
    app.after_request(stamp)
