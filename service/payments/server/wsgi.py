"""Calls the WSGI application with a request that is in memory."""

import io
import logging
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from payments.server.messages import Request, Response, problem
from payments.web.http.headers import SECURITY_HEADERS, SERVER
from payments.web.http.problems import INTERNAL_ERROR_DETAIL, new_request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger("payments.server")
#: Fields with places of their own in the environment, and those about the connection, which are done with. Werkzeug
#: would refuse an offer to upgrade, which RFC 9110, section 7.8 lets a server ignore.
_NOT_COPIED = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "upgrade", "expect"})


def respond(app: "WSGIApplication", request: Request, peer: str, port: int) -> Response:
    """Return the application's response to ``request``; an error is a problem."""
    if request.path == "*":
        return Response(status=HTTPStatus.NO_CONTENT, headers={"Server": SERVER, **SECURITY_HEADERS}.items())
    try:
        return _call(app, _environ(request, peer, port))
    except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the connection goes on
        request_id = new_request_id()
        _log.exception("request not served", extra={"request_id": request_id})
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR_DETAIL, request_id)


def _call(app: "WSGIApplication", environ: dict[str, Any]) -> Response:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return _no_write

    parts: Iterable[bytes] = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    (status, headers), *_ = started
    return Response(status=HTTPStatus(int(status.split(" ")[0])), headers=headers, body=body)


def _no_write(_: bytes) -> None:
    raise NotImplementedError("Return the body instead of writing it.")


def _environ(request: Request, peer: str, port: int) -> dict[str, Any]:  # Any: as PEP 3333 has it
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(request.body),
        # It has an end: Werkzeug need not count.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if request.body:
        environ["CONTENT_LENGTH"] = str(len(request.body))
    for name, value in request.headers:
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        if name in _NOT_COPIED or "_" in name:  # an underscore would pass for the hyphen of another field
            continue
        key = f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
