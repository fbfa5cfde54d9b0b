"""Accepts connections within limits. Nothing that a client does, or fails to do, keeps it from accepting the next."""

import asyncio
import logging
import socket
import ssl
from asyncio import sslproto
from collections.abc import Iterator
from dataclasses import dataclass

from payments.server.connection import Connection, Deadlines, Serve

_log = logging.getLogger("payments.server")
_BACKLOG = 512
#: Seconds without accepting when the operating system has no descriptor left.
_PAUSE = 0.1
#: Bytes that asyncio reserves, and clears, for each TLS connection. Its own 256 KiB would be 250 MB for 1,000 idle
#: ones; one record has 16 KiB at most.
_READ_BUFFER = 16_384


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many connections there may be; each costs a descriptor and less than 100 KiB."""

    total: int = 1000
    #: Of one address. Behind a load balancer, addresses are its nodes, two or more of them with many connections each:
    #: half lets one node carry all the load (it needs one connection for each request that it has in flight, and far
    #: fewer are served at once), and leaves the health check and the other nodes theirs.
    per_address: int = 500


class Listener:
    """Listens on a socket and owns its connections.

    At a limit, the connection that has waited longest for its client is closed in favour of the new one: first among
    those that never completed a request, then among the idle and slow. A request that is being served is never cut
    off; if all are, the new connection is refused. An address beyond its own limit makes room among its own.
    """

    def __init__(
        self, listening: socket.socket, context: ssl.SSLContext, *, deadlines: Deadlines, limits: Limits, serve: Serve
    ) -> None:
        sslproto.SSLProtocol.max_size = _READ_BUFFER
        listening.settimeout(0)
        listening.listen(_BACKLOG)
        self._listening = listening
        self._context = context
        self._deadlines = deadlines
        self._limits = limits
        self._serve = serve
        self._connections: set[Connection] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def has_requests(self) -> bool:
        """Return whether a request is arriving or being served."""
        return any(connection.has_request for connection in self._connections)

    def has_connections(self) -> bool:
        """Return whether a connection is open."""
        return bool(self._connections)

    async def drain(self) -> None:
        """Accept no more connections, and end those without a request; one that has arrived unread counts."""
        self._accepting.cancel()
        self._listening.close()
        # The event loop may learn of SIGTERM before it looks for what arrived before: one turn finds it, one reads it.
        for _ in range(2):
            await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.drain()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listening)
            except OSError as error:  # no descriptor or memory is left, or the client has gone already
                _log.warning("connection not accepted: %s", error.strerror)
                self._make_room(self._connections)
                await asyncio.sleep(_PAUSE)
            else:
                self._admit(accepted, str(address[0]))
                # A full backlog is accepted without a pause: only now handshakes begin, and what made room closes.
                await asyncio.sleep(0)

    def _admit(self, accepted: socket.socket, peer: str) -> None:
        own = [connection for connection in self._connections if connection.peer == peer]
        if len(own) >= self._limits.per_address:
            has_room = self._make_room(own)
        else:
            has_room = len(self._connections) < self._limits.total or self._make_room(self._connections)
        if not has_room:
            accepted.close()
            return
        connection = Connection(peer, deadlines=self._deadlines, serve=self._serve, forget=self._connections.discard)
        self._connections.add(connection)
        task = asyncio.get_running_loop().create_task(self._shake_hands(connection, accepted))
        connection.cancel_handshake = task.cancel
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _make_room(self, connections: "set[Connection] | list[Connection]") -> bool:
        """Close the connection of ``connections`` that has waited longest for its client, if any does."""
        waiting: Iterator[tuple[bool, float, Connection]] = (
            (connection.is_proven, connection.waiting_since, connection)
            for connection in connections
            if connection.waiting_since is not None
        )
        longest = min(waiting, key=lambda item: item[:2], default=None)
        if longest is None:
            return False
        self._connections.discard(longest[2])
        longest[2].abort()
        return True

    async def _shake_hands(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._deadlines.handshake,
                ssl_shutdown_timeout=self._deadlines.response,
            )
        except OSError as error:  # TLS errors and time-outs are OSErrors too
            _log.debug("no TLS handshake: %s", type(error).__name__)
            self._connections.discard(connection)
        except asyncio.CancelledError:
            self._connections.discard(connection)
            raise
