"""gunicorn's threaded worker, answering requests that it cannot read as the API answers everything else.

As it comes, it answers HTML without the security headers, and repeats parts of the request in the answer and in the
log, where a card number may be among them.
"""

import json
import ssl
import uuid
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from payments.problems import ApiError, InternalError, MalformedRequest
from payments.web.headers import DEFAULTS, SERVER
from payments.web.problems import MEDIA_TYPE, REQUEST_ID_HEADER

_TOO_LONG = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
#: What the client did wrong; anything else that ends here is a mistake of ours.
_CLIENT_ERRORS = (errors.ParseException, ssl.SSLError)
#: Headers of an answer that cannot be sent; the stubs do not know them.
_OURS: tuple[type[Exception], ...] = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)  # type: ignore[attr-defined]


class ProblemWorker(ThreadWorker):
    """The worker class of the `api` process."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer what could not be read, or not be answered, and end the connection."""
        request_id = f"req_{uuid.uuid4().hex}"
        if isinstance(exc, _CLIENT_ERRORS) and not isinstance(exc, _OURS):
            status = _TOO_LONG.get(type(exc), HTTPStatus.BAD_REQUEST)
            # The kind of mistake only: its text repeats what was sent.
            self.log.warning("request refused unread: %s", type(exc).__name__, extra={"request_id": request_id})
            error: ApiError = MalformedRequest(f"The request cannot be read: {status.phrase.lower()}.")
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self.log.error("request not answered", exc_info=exc, extra={"request_id": request_id})
            error = InternalError("Something went wrong on our side. Quote the request_id when you report it.")
        try:
            write_nonblock(client, answer(error, status, request_id))
        except OSError:
            self.log.debug("the client has gone")


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
