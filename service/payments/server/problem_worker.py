"""gunicorn's threaded worker, answering requests that it cannot read as the API answers everything else.

As it comes, it answers HTML without the security headers, and repeats parts of the request in the answer and in the
log, where a card number may be among them. It also names itself, and closes connections without having said so.
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
from payments.web.http.headers import DEFAULTS, SERVER
from payments.web.http.problems import MEDIA_TYPE, REQUEST_ID_HEADER

#: Bytes of the request line and of each header field, and number of header fields.
MAX_LINE = 8190
MAX_FIELDS = 64
_TOO_LONG = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request line, a header or the framing of the body is not valid HTTP/1.1.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The request line is too long. Send at most {MAX_LINE} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The headers are too large. Send at most {MAX_FIELDS} fields of at most {MAX_LINE} bytes."
    ),
}
#: What the client did wrong; anything else that ends here is a mistake of ours.
_CLIENT_ERRORS = (errors.ParseException, ssl.SSLError)
#: Headers of an answer that cannot be sent; the stubs do not know them.
_OURS: tuple[type[Exception], ...] = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)  # type: ignore[attr-defined]
#: Bytes of a body that gunicorn throws away so that the connection can be used again; it closes it where more is left.
_DISCARDED = 64 * 1024


class ProblemWorker(ThreadWorker):
    """The worker class of the `api` process."""

    def load_wsgi(self) -> None:
        """Load the application, and put what only the server knows around it."""
        super().load_wsgi()
        self.wsgi = served(self.wsgi)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer what could not be read, or not be answered, and end the connection."""
        request_id = f"req_{uuid.uuid4().hex}"
        if isinstance(exc, _CLIENT_ERRORS) and not isinstance(exc, _OURS):
            status = _TOO_LONG.get(type(exc), HTTPStatus.BAD_REQUEST)
            # The kind of mistake only: its text repeats what was sent.
            self.log.warning("request refused unread: %s", type(exc).__name__, extra={"request_id": request_id})
            error: ApiError = MalformedRequest(_DETAILS[status])
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self.log.error("request not answered", exc_info=exc, extra={"request_id": request_id})
            error = InternalError("Something went wrong on our side. Quote the request_id when you report it.")
        try:
            write_nonblock(client, answer(error, status, request_id))
        except OSError:
            self.log.debug("the client has gone")


def served(app: Callable[..., Any]) -> Callable[..., Any]:
    """``app`` as gunicorn calls it, with our name, and with an end of the connection that is announced.

    A connection that is closed without `Connection: close` breaks the next request on it, which a load balancer may
    send for another client.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        response: Any = start_response.__self__  # type: ignore[attr-defined]  # gunicorn's: no other way leads to it
        response.version = SERVER
        environ["wsgi.input"] = _Body(environ["wsgi.input"])

        def start(status: str, *rest: Any) -> Any:
            if status >= "400" and _may_leave_too_much(environ):
                response.force_close()
            return start_response(status, *rest)

        return app(environ, start)

    return serve


def _may_leave_too_much(environ: dict[str, Any]) -> bool:
    return int(environ.get("CONTENT_LENGTH") or 0) >= _DISCARDED or "HTTP_TRANSFER_ENCODING" in environ


class _Body:
    """A request's body, in which a framing that cannot be read is the client's mistake."""

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


def answer(error: ApiError, status: HTTPStatus, request_id: str) -> bytes:
    """A whole HTTP answer, after which the connection is closed."""
    body = json.dumps({**error.body(request_id), "status": status.value}).encode()
    headers = {
        "Server": SERVER,
        "Connection": "close",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        REQUEST_ID_HEADER: request_id,
        **DEFAULTS,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
