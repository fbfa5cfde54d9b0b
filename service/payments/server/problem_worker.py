"""gunicorn's threaded worker, which responds to requests that it cannot parse with a problem, like the API does.

By default gunicorn responds with HTML, without the security headers, and repeats parts of the request in the response
and in the log, where they may include a card number. It also reveals its name and version, and closes connections
without announcing it.
"""

import json
import ssl
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import BadRequest

from payments.core.problems import ApiError, InternalError, MalformedRequest
from payments.web.http.headers import SECURITY_HEADERS, SERVER
from payments.web.http.problems import INTERNAL_ERROR_DETAIL, MEDIA_TYPE, REQUEST_ID_HEADER

#: Bytes of the request line and of each header field, and number of header fields.
MAX_LINE = 8190
MAX_FIELDS = 64
_TOO_LONG = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request line, a header or the body's framing is not valid HTTP/1.1.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The request line is too long. Send at most {MAX_LINE} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The headers are too large. Send at most {MAX_FIELDS} fields of at most {MAX_LINE} bytes."
    ),
}
#: The client's errors; any other error that ends here is ours.
_CLIENT_ERRORS = (errors.ParseException, ssl.SSLError)
#: Headers of a response that cannot be sent.
_SERVER_ERRORS: tuple[type[Exception], ...] = (
    errors.InvalidResponseHeader,  # type: ignore[attr-defined]  # missing in the stubs
    errors.InvalidResponseHeaderName,  # type: ignore[attr-defined]  # missing in the stubs
)
#: Bytes of an unread body that gunicorn discards to keep the connection; it closes the connection if more are left.
_DISCARDED = 64 * 1024


class ProblemWorker(ThreadWorker):
    """The worker class of the `api` process."""

    def load_wsgi(self) -> None:
        """Load the application and wrap it in what only the server can do."""
        super().load_wsgi()
        self.wsgi = wrap(self.wsgi)

    def handle_error(self, req: object, client: Any, addr: object, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's
        """Respond to a request that could not be parsed or served, and end the connection."""
        request_id = f"req_{uuid.uuid4().hex}"
        if isinstance(exc, _CLIENT_ERRORS) and not isinstance(exc, _SERVER_ERRORS):
            status = _TOO_LONG.get(type(exc), HTTPStatus.BAD_REQUEST)
            # Only the type of the error: its text repeats what was sent.
            self.log.warning("request rejected unread: %s", type(exc).__name__, extra={"request_id": request_id})
            error: ApiError = MalformedRequest(_DETAILS[status])
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self.log.error("request not served", exc_info=exc, extra={"request_id": request_id})
            error = InternalError(INTERNAL_ERROR_DETAIL)
        try:
            write_nonblock(client, http_response(error, status, request_id))
        except OSError:
            self.log.debug("the client has disconnected")


def wrap(app: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``app`` to set our name, and to announce the end of a connection.

    A connection that is closed without `Connection: close` breaks the next request on it, which a load balancer may
    send for another client.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        response: Any = start_response.__self__  # type: ignore[attr-defined]  # gunicorn's response; no other way to it
        response.version = SERVER
        environ["wsgi.input"] = _Body(environ["wsgi.input"])

        def start(status: str, *rest: object) -> object:
            if status >= "400" and _may_leave_too_much(environ):
                response.force_close()
            return start_response(status, *rest)

        return app(environ, start)

    return serve


def _may_leave_too_much(environ: dict[str, Any]) -> bool:
    return int(environ.get("CONTENT_LENGTH") or 0) >= _DISCARDED or "HTTP_TRANSFER_ENCODING" in environ


class _Body:
    """A request body that reports broken framing as the client's error."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int | None = None) -> bytes:
        return self._get(self._body.read, size)

    def readline(self, size: int | None = None) -> bytes:
        return self._get(self._body.readline, size)

    @staticmethod
    def _get(get: Callable[[int | None], bytes], size: int | None) -> bytes:
        try:
            return get(size)
        except (errors.ParseException, errors.NoMoreData) as error:
            raise BadRequest from error


def http_response(error: ApiError, status: HTTPStatus, request_id: str) -> bytes:
    """Return a complete HTTP response, after which the connection is closed."""
    body = json.dumps({**error.body(request_id), "status": status.value}).encode()
    headers = {
        "Server": SERVER,
        "Connection": "close",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        REQUEST_ID_HEADER: request_id,
        **SECURITY_HEADERS,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
