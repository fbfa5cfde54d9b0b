"""Reads requests from bytes: llhttp (the parser of Node.js, in C) finds the parts, and this refuses what is doubtful.

llhttp is strict about line ends, folded fields, lengths and chunks, and refuses Content-Length beside
Transfer-Encoding. What it leaves to its caller is decided here: limits, Host, transfer codings, expectations, targets.
"""

import enum
import re
from collections import deque
from collections.abc import Iterator
from http import HTTPStatus

import httptools

from payments.server.messages import Refusal, Request
from payments.server.target import InvalidTargetError, Target, is_host, parse_target
from payments.web.http.strict_json import MAX_BODY_BYTES

#: Bytes of the request target and of each header field.
MAX_LINE = 8190
MAX_FIELDS = 64
#: Bytes of the request line and all fields together, as the load balancer has it.
MAX_HEAD = 65_536
#: Bytes of a body on the wire: chunks of a few bytes cost more than they carry, and extensions have no end.
_MAX_WIRE = 4 * MAX_BODY_BYTES
#: Requests that wait behind the one in progress. The last is answered and ends the connection.
MAX_PIPELINED = 16

_UNKNOWN_METHOD = re.compile(rb"(?:\r?\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ [/*h]")
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request line, a header or the body's framing is not valid HTTP/1.1.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive completely in time. Send it again.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The request body is too large. Send at most {MAX_BODY_BYTES} bytes.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The request target is too long. Send at most {MAX_LINE} bytes.",
    HTTPStatus.EXPECTATION_FAILED: "The only expectation that can be met is 100-continue.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The headers are too large. Send at most {MAX_FIELDS} fields of at most {MAX_LINE} bytes, "
        f"together at most {MAX_HEAD}."
    ),
    HTTPStatus.NOT_IMPLEMENTED: "The method or the transfer coding is not known here.",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "Send the request as HTTP/1.1.",
}
#: llhttp's reasons that are no syntax errors.
_VERSION_ERRORS = ("Invalid HTTP version", "Pause on PRI/Upgrade")


class Stage(enum.Enum):
    """How much of the next request has arrived."""

    NOTHING = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


def refusal(status: HTTPStatus, detail: str | None = None) -> Refusal:
    """Return the refusal with ``status`` and its usual text."""
    return Refusal(status=status, detail=detail or _DETAILS[status])


class RequestReader:
    """Collects what arrives on one connection into requests."""

    def __init__(self) -> None:
        #: What is complete, in the order of arrival; a refusal is the last.
        self.complete: deque[Request | Refusal] = deque()
        self.stage = Stage.NOTHING
        #: Whether nothing that arrives can be a request any more.
        self.ended = False
        #: Whether the client waits for `100 Continue` before it sends the body.
        self.expects_continue = False
        self._parser = httptools.HttpRequestParser(self)
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        #: Parsed once the head is complete and sound.
        self._target = Target(path="", query="")
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        #: Bytes of the fields, and bytes on the wire since this part of the request began.
        self._size = self._bytes = 0
        self.expects_continue = False

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        if self.ended:
            return
        if self.stage is Stage.NOTHING:
            self._bytes, self.stage = 0, Stage.HEAD
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # what follows is another protocol: the request itself was complete, or is refused
        except httptools.HttpParserInvalidMethodError:
            known = _UNKNOWN_METHOD.match(data)
            self._refuse(refusal(HTTPStatus.NOT_IMPLEMENTED if known else HTTPStatus.BAD_REQUEST))
        except httptools.HttpParserError as error:
            is_version = str(error) in _VERSION_ERRORS
            self._refuse(refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if is_version else HTTPStatus.BAD_REQUEST))
        if self.stage is Stage.HEAD and self._bytes > MAX_HEAD:
            self._refuse(refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        if self.stage is Stage.BODY and self._bytes > _MAX_WIRE:
            self._refuse(refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))

    def _refuse(self, reason: Refusal) -> None:
        if not self.ended:
            self.ended = True
            self.complete.append(reason)

    # httptools calls the following.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._begin()
        self.stage = Stage.HEAD

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url
        if len(self._url) > MAX_LINE:
            self._refuse(refusal(HTTPStatus.REQUEST_URI_TOO_LONG))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field. Trailers are read and ignored: nothing asks for them (RFC 9110, section 6.5.1)."""
        if self.stage is not Stage.HEAD:
            return
        self._fields.append((name.lower(), value.strip(b" \t")))
        size = len(name) + len(value)
        self._size += size
        if len(self._fields) > MAX_FIELDS or size > MAX_LINE or self._size > MAX_HEAD:
            self._refuse(refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))

    def on_headers_complete(self) -> None:
        """Refuse a request that cannot be served whatever its body."""
        self.stage, self._bytes = Stage.BODY, 0
        if reason := self._fault():
            self._refuse(reason)
        self.expects_continue = self._parser.get_http_version() == "1.1" and bool(self._values(b"expect"))

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self.ended:
            return
        self._body += body
        self.expects_continue = False
        if len(self._body) > MAX_BODY_BYTES:
            self._refuse(refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))

    def on_message_complete(self) -> None:
        """Hand the request over."""
        if self.ended:
            return
        self.stage, self.expects_continue = Stage.NOTHING, False
        method = self._parser.get_method().decode("ascii")
        target = self._target
        keep_alive = (
            self._parser.should_keep_alive()
            and not self._parser.should_upgrade()
            and len(self.complete) < MAX_PIPELINED
        )
        self.complete.append(
            Request(
                method=method,
                path=target.path,
                query=target.query,
                headers=tuple(self._headers(target.host)),
                body=bytes(self._body),
                keep_alive=keep_alive,
            )
        )
        self._begin()
        self.ended = not keep_alive

    def _headers(self, host: str | None) -> Iterator[tuple[str, str]]:
        """Yield the fields; ``host``, if the target names one, replaces the Host header."""
        for name, value in self._fields:
            yield name.decode("latin-1"), host if host and name == b"host" else value.decode("latin-1")

    def _values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self._fields if found == name]

    def _fault(self) -> Refusal | None:
        """Return why the request is refused, if it is."""
        version, method = self._parser.get_http_version(), self._parser.get_method().decode("ascii")
        if version not in ("1.0", "1.1"):
            return refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if method == "CONNECT":
            return refusal(HTTPStatus.NOT_IMPLEMENTED)
        hosts = self._values(b"host")
        if len(hosts) > 1 or (not hosts and version == "1.1") or not all(map(is_host, hosts)):
            return refusal(HTTPStatus.BAD_REQUEST, "Send exactly one Host header with a valid host.")
        try:
            self._target = parse_target(method, self._url)
        except InvalidTargetError as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error))
        return self._body_fault(version)

    def _body_fault(self, version: str) -> Refusal | None:
        lengths, codings = self._values(b"content-length"), self._codings()
        if codings and (version == "1.0" or codings[-1] != b"chunked" or b"" in codings):
            return refusal(HTTPStatus.BAD_REQUEST)
        if len(codings) > 1:
            return refusal(HTTPStatus.NOT_IMPLEMENTED)
        if lengths and int(lengths[0]) > MAX_BODY_BYTES:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self._parser.should_upgrade() and (codings or any(int(length) for length in lengths)):
            return refusal(HTTPStatus.BAD_REQUEST, "Send a request with a body without an Upgrade header.")
        if any(value.lower() != b"100-continue" for value in self._values(b"expect")):
            return refusal(HTTPStatus.EXPECTATION_FAILED)
        return None

    def _codings(self) -> list[bytes]:
        values = self._values(b"transfer-encoding")
        return [coding.strip(b" \t").lower() for value in values for coding in value.split(b",")]
