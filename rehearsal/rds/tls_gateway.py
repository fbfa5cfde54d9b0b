"""TLS in front of a PostgreSQL server that was built without OpenSSL.

It responds to PostgreSQL's `SSLRequest`, performs the TLS handshake and forwards the decrypted bytes, so that clients
use `sslmode=verify-full` unchanged. Like Aurora with `rds.force_ssl=1` it refuses unencrypted sessions. Message
formats: PostgreSQL manual, "Frontend/Backend Protocol", sections 54.2.10, 54.2.12 and 54.7.
"""

import asyncio
import contextlib
import socket
import ssl
import struct

_SSL_REQUEST = 80877103
_GSSENC_REQUEST = 80877104
_CANCEL_REQUEST = 80877102
_MAX_STARTUP_BYTES = 10_000
_HANDSHAKE_SECONDS = 10.0
_HIGH_WATER = 256 * 1024


class TlsGateway:
    """Listens with TLS on any free loopback port and forwards to a PostgreSQL server on another one."""

    def __init__(self, *, backend_port: int, context: ssl.SSLContext) -> None:
        self._backend_port = backend_port
        self._context = context
        self._server: asyncio.Server | None = None
        self._connections: set[_Client] = set()

    @property
    def port(self) -> int:
        """The port that clients connect to, once it is started."""
        if self._server is None:
            raise RuntimeError("the TLS gateway has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Start listening."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Client(self._backend_port, self._context, self._connections), "127.0.0.1", 0, backlog=256
        )

    async def stop(self) -> None:
        """Stop listening and abort every connection."""
        if self._server is None:
            return
        self._server.close()
        for client in tuple(self._connections):
            client.abort()
        await self._server.wait_closed()


class _Pipe(asyncio.Protocol):
    """One side of a forwarded connection: data goes to the transport of its peer, with back-pressure."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"expected a stream transport, got {type(transport).__name__}")
        self.transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        raw = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()


class _Client(_Pipe):
    """The client's side: negotiates encryption, then forwards."""

    def __init__(self, backend_port: int, context: ssl.SSLContext, connections: "set[_Client]") -> None:
        super().__init__()
        self._backend_port = backend_port
        self._context = context
        self._connections = connections
        self._received = bytearray()
        self._negotiating = True
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        """Abort the connection."""
        for pipe in (self, self.peer):
            if pipe is not None and pipe.transport is not None:
                pipe.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            super().data_received(data)
            return
        # The first message often arrives with the end of the TLS handshake, before the server is connected.
        self._received += data
        if self._negotiating:
            self._negotiate()

    def _negotiate(self) -> None:
        """Handle the first packet once it is complete: a length and a request code, both 32 bits."""
        if self.transport is None or len(self._received) < 8:
            return
        length, code = struct.unpack_from("!ii", self._received)
        if not 8 <= length <= _MAX_STARTUP_BYTES:
            self.transport.abort()
        elif code == _GSSENC_REQUEST:
            del self._received[:8]
            self.transport.write(b"N")
            self._negotiate()
        elif code == _SSL_REQUEST:
            self._begin_tls(self.transport)
        elif code == _CANCEL_REQUEST:  # libpq before 17 sends it unencrypted, and PostgreSQL accepts it
            self._negotiating = False
            self.transport.pause_reading()
            self._task = asyncio.ensure_future(self._forward(self.transport))
        else:
            self.transport.write(_refusal())
            self.transport.close()

    def _begin_tls(self, transport: asyncio.Transport) -> None:
        if len(self._received) > 8:
            transport.abort()
            return
        self._negotiating = False
        self._received.clear()
        transport.pause_reading()
        transport.write(b"S")
        self._task = asyncio.ensure_future(self._upgrade(transport))

    async def _upgrade(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            encrypted = await loop.start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError):  # the client does not trust the certificate, or went away
            transport.abort()
            return
        if encrypted is None:
            return
        encrypted.pause_reading()
        self.transport = encrypted
        await self._forward(encrypted)

    async def _forward(self, transport: asyncio.Transport) -> None:
        try:
            opened, backend = await asyncio.get_running_loop().create_connection(_Pipe, "127.0.0.1", self._backend_port)
        except OSError:  # the server is stopping: a closed connection, as in a failover
            transport.abort()
            return
        self.peer, backend.peer = backend, self
        opened.write(bytes(self._received))
        self._received.clear()
        if transport.is_closing():
            opened.close()
            return
        transport.resume_reading()


def _refusal() -> bytes:
    """Return the error that PostgreSQL sends to an unencrypted session."""
    fields = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields
