"""One TLS connection: it reads a request under deadlines, has it served by a thread, writes the response, and repeats.

Only the event loop touches a connection, and it never waits. A connection holds a thread only while a request that has
arrived completely is being served; the deadlines bound everything that waits for the client.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from payments.server.messages import Refusal, Request, Response, encode, problem
from payments.server.reader import RequestReader, Stage, refusal
from payments.web.http.problems import INTERNAL_ERROR_DETAIL, new_request_id

_log = logging.getLogger("payments.server")
#: Bytes that may wait in memory for a client that does not read, and of requests behind the one in progress.
_BUFFER = 16_384


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds that a client has. What it does slowly costs a descriptor and some memory, so they can be generous."""

    #: From the accepted connection to the end of the TLS handshake.
    handshake: float = 10.0
    #: Idle, before a request: longer than the load balancer keeps idle connections (60 s), so that it never sends a
    #: request into a connection that is being closed.
    keep_alive: float = 75.0
    #: From the first byte of a request to the end of its headers.
    head: float = 10.0
    #: From there to the end of its body, which is 64 KiB at most.
    body: float = 20.0
    #: For taking a response, and for closing the connection after the last.
    response: float = 30.0
    #: After a refusal, for what still arrives: it is dropped until it pauses for `quiet`, at most for `closing`. To
    #: close at once would reset the connection and could destroy the response on its way (RFC 9112, section 9.6).
    closing: float = 5.0
    quiet: float = 0.5


#: Serves a complete request in a thread; the callback gets the response in the event loop.
Serve = Callable[[Request, str, Callable[[Response], None]], None]


class Connection(asyncio.Protocol):
    """A connection, from the moment it is accepted.

    Args:
        peer: The client's address.
        deadlines: What the client has time for.
        serve: Serves a request.
        forget: Called once when the connection has ended.
    """

    def __init__(
        self, peer: str, *, deadlines: Deadlines, serve: Serve, forget: Callable[["Connection"], None]
    ) -> None:
        self.peer = peer
        #: Since when the server waits for the client (monotonic); None while it serves a request.
        self.waiting_since: float | None = time.monotonic()
        #: Whether a request was served.
        self.is_proven = False
        #: Ends the TLS handshake; set by the listener.
        self.cancel_handshake: Callable[[], object] = lambda: None
        self._deadlines = deadlines
        self._serve = serve
        self._forget = forget
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timed: Stage | None = None
        self._is_writing_paused = False
        self._is_draining = False
        #: When reading ends for good after the last response; None before.
        self._closes_at: float | None = None

    @property
    def has_request(self) -> bool:
        """Whether a request is arriving or being served."""
        if self._closes_at is not None:
            return False
        return self.waiting_since is None or bool(self._reader.complete) or self._reader.stage is not Stage.NOTHING

    def drain(self) -> None:
        """End after the request that is arriving or being served, at once if there is none."""
        self._is_draining = True
        if self._transport is None:
            self.cancel_handshake()
        elif not self.has_request:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is None:
            self.cancel_handshake()
        else:
            self._transport.abort()

    # asyncio calls the following.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BUFFER)
        self._wait(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget everything; a request that is being served is served to its end."""
        self._transport = None
        self._set_timer(None)
        self._forget(self)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._closes_at is not None:
            self._set_timer(min(self._deadlines.quiet, self._closes_at - time.monotonic()))
            return
        self._reader.feed(data)
        if self._transport is not None and self._reader.expects_continue and self._is_next(Stage.BODY):
            self._reader.expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._advance()

    def pause_writing(self) -> None:
        """Give the client time to take what was written."""
        self._is_writing_paused = True
        self._set_timer(self._deadlines.response)

    def resume_writing(self) -> None:
        """Go on with the next request."""
        self._is_writing_paused = False
        self._timed = None
        if self._closes_at is None:
            self._advance()

    def _is_next(self, stage: Stage) -> bool:
        """Return whether the request that arrives is the next to be answered, and in ``stage``."""
        return self.waiting_since is not None and not self._reader.complete and self._reader.stage is stage

    def _advance(self) -> None:
        """Begin with the next complete request, or wait for it."""
        transport = self._transport
        if transport is None or transport.is_closing() or self.waiting_since is None:
            return
        if self._is_writing_paused:
            transport.pause_reading()
        elif not self._reader.complete:
            self._wait(transport)
        elif isinstance(found := self._reader.complete.popleft(), Refusal):
            self._refuse(transport, found)
        else:
            self._begin(transport, found)

    def _wait(self, transport: asyncio.Transport) -> None:
        """Wait for the client, up to the deadline of what is to come."""
        stage = self._reader.stage
        if self._is_draining and stage is Stage.NOTHING:
            transport.close()
            return
        transport.resume_reading()
        if self._timed is not stage:
            self._timed = stage
            limits = self._deadlines
            self._set_timer({Stage.NOTHING: limits.keep_alive, Stage.HEAD: limits.head, Stage.BODY: limits.body}[stage])

    def _begin(self, transport: asyncio.Transport, request: Request) -> None:
        self._set_timer(None)
        self._timed = self.waiting_since = None
        transport.pause_reading()
        self._serve(request, self.peer, lambda response: self._answer(request, response))

    def _answer(self, request: Request, response: Response) -> None:
        self.waiting_since, self.is_proven = time.monotonic(), True
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        keep_alive = request.keep_alive and not self._is_draining
        try:
            data = encode(response, method=request.method, keep_alive=keep_alive)
        except ValueError:
            request_id = new_request_id()
            _log.exception("response not sent", extra={"request_id": request_id})
            response = problem(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR_DETAIL, request_id)
            data = encode(response, method=request.method, keep_alive=keep_alive)
        transport.write(data)
        if keep_alive:
            self._advance()
        else:
            transport.close()

    def _refuse(self, transport: asyncio.Transport, reason: Refusal) -> None:
        """Respond to what is no request, and close."""
        request_id = new_request_id()
        # Nothing of what was sent: it may be anything, a card number too.
        _log.warning("request rejected unread: %s", reason.detail, extra={"request_id": request_id})
        transport.write(encode(problem(reason.status, reason.detail, request_id), method="", keep_alive=False))
        self._closes_at = time.monotonic() + self._deadlines.closing
        transport.resume_reading()
        self._set_timer(self._deadlines.quiet)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        """Act on a deadline that has passed."""
        if self._transport is None:
            return
        if self._is_writing_paused:
            self._transport.abort()
        elif self._closes_at is not None or self._reader.stage is Stage.NOTHING:
            self._transport.close()
        else:
            self._refuse(self._transport, refusal(HTTPStatus.REQUEST_TIMEOUT))
