"""What passes between the parts of the server: requests, refusals and responses."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from payments.web.http.headers import SECURITY_HEADERS, SERVER
from payments.web.http.problems import MEDIA_TYPE, REQUEST_ID_HEADER, problem_body

#: Responses that never have a body, nor a Content-Length.
_NO_CONTENT = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
#: Set here, whatever the application says.
_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "date"})
_UNSAFE_IN_A_HEADER = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that was received completely and whose framing is beyond doubt."""

    method: str
    #: Decoded, as WSGI has it: one character for each byte. ``*`` for the server as a whole.
    path: str
    query: str
    #: Names in lower case, in the order of arrival, without trailers.
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: Whether the client may send another request on the connection.
    keep_alive: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The answer to what is no request. The connection ends with it, since what follows cannot be told apart."""

    status: HTTPStatus
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """A complete response."""

    status: HTTPStatus
    headers: Iterable[tuple[str, str]]
    body: bytes = b""


def encode(response: Response, *, method: str, keep_alive: bool) -> bytes:
    """Return the bytes of ``response`` to a request with ``method``.

    Raises:
        ValueError: A header would break the framing.
    """
    status = response.status
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    has_length = False
    for name, value in response.headers:
        line, lower = f"{name}: {value}", name.lower()
        if _UNSAFE_IN_A_HEADER.search(line):
            raise ValueError(f"The response header {name!r} contains control characters.")
        if lower not in _OF_THE_CONNECTION:
            has_length = has_length or lower == "content-length"
            lines.append(line)
    if not has_length and status not in _NO_CONTENT:
        lines.append(f"Content-Length: {len(response.body)}")
    lines += [f"Date: {_date(int(time.time()))}", f"Connection: {'keep-alive' if keep_alive else 'close'}", "", ""]
    body = b"" if method == "HEAD" or status in _NO_CONTENT else response.body
    return "\r\n".join(lines).encode("latin-1") + body


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Return a time as the Date header has it."""
    return formatdate(second, usegmt=True)


def problem(status: HTTPStatus, detail: str, request_id: str) -> Response:
    """Return a problem of the server itself, which no view has seen."""
    body = json.dumps(problem_body(status, detail, request_id)).encode()
    headers = {"Server": SERVER, "Content-Type": MEDIA_TYPE, REQUEST_ID_HEADER: request_id, **SECURITY_HEADERS}
    return Response(status=status, headers=headers.items(), body=body)
