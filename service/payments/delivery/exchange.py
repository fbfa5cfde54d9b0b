"""One HTTP/1.1 exchange on an open connection: it ends with a whole response, or fails."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import h11

from payments.delivery.connections import Deadline

#: Bytes of status line and headers, and of interim responses before them.
_MAX_HEAD = 65_536
#: Bytes of a body that are read. A receiver that answers more has answered: its status counts.
_MAX_BODY = 65_536
_CHUNK = 16_384


class ResponseCutOff(Exception):  # noqa: N818 - the receiver's doing, not a fault
    """The response began, and its end did not come."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """A whole response; its body does not matter."""

    status: int
    headers: Mapping[bytes, bytes]

    @property
    def accepted(self) -> bool:
        """Whether the status is one of 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


def exchange(connection: socket.socket, request: h11.Request, body: bytes, deadline: Deadline) -> Response:
    """Send ``request`` and return the response, once it is there as a whole.

    A refusal is known from its headers: its body is not waited for. Of an acceptance, the body is read as far as
    its framing says, or 64 KiB of it.

    Raises:
        h11.RemoteProtocolError: It is not HTTP, or its headers are too long.
        ResponseCutOff: The connection ended within the response.
        TimeoutError: The deadline has passed.
        OSError: The connection failed before the response began.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
    sent = [http.send(request), http.send(h11.Data(data=body)), http.send(h11.EndOfMessage())]
    connection.settimeout(deadline.left())
    connection.sendall(b"".join(part for part in sent if part))
    reader = _Reader(connection, http, deadline)
    found = reader.head()
    response = Response(status=found.status_code, headers=dict(found.headers))
    if response.accepted:
        reader.skip_body()
    return response


class _Reader:
    """Reads one response, within bounds."""

    def __init__(self, connection: socket.socket, http: h11.Connection, deadline: Deadline) -> None:
        self._connection = connection
        self._http = http
        self._deadline = deadline
        self._received = 0
        self._begun = False

    def head(self) -> h11.Response:
        """Return status and headers, after any interim responses."""
        while not isinstance(event := self._next(), h11.Response):
            if self._received > _MAX_HEAD:
                raise h11.RemoteProtocolError("too many interim responses")
        return event

    def skip_body(self) -> None:
        """Read the body to its end, or as much as is read of it."""
        self._received = 0
        while not isinstance(self._next(), h11.EndOfMessage):
            if self._received > _MAX_BODY:
                return

    def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(data := self._receive())
            if not data:  # only a body that ends with the connection is whole now
                return self._last()
        return event

    def _last(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ResponseCutOff from error

    def _receive(self) -> bytes:
        self._connection.settimeout(self._deadline.left())
        try:
            data = self._connection.recv(_CHUNK)
        except TimeoutError:
            raise
        except OSError as error:  # a reset, or TLS without its closure alert (RFC 9112, 9.8)
            if not self._begun:
                raise
            raise ResponseCutOff from error
        if not data and not self._begun:
            raise ConnectionError("the receiver closed the connection without a response")
        self._begun = True
        self._received += len(data)
        return data
