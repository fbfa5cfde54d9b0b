"""A keep-alive HTTPS connection with one request in flight: as little Python for a request as possible."""

import asyncio
import ssl

_LENGTH = b"content-length:"
_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """`request` sends prepared bytes and waits for the whole response."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP connection has this kind
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request in flight."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(str(exc or "closed by the server")))

    def data_received(self, data: bytes) -> None:
        """Complete the response, if this is its end."""
        self._received += data
        head = self._received.find(_END)
        if head < 0 or self._waiting is None or self._waiting.done():
            return
        start = self._received.lower().find(_LENGTH, 0, head)
        length = int(self._received[start + len(_LENGTH) : self._received.index(b"\r", start)]) if start > 0 else 0
        end = head + len(_END) + length
        if len(self._received) < end:
            return
        status, body = int(self._received[9:12]), bytes(self._received[head + len(_END) : end])
        del self._received[:end]
        self._waiting.set_result((status, body))

    def request(self, content: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Send a request and return the future of its status and body."""
        assert self._transport is not None  # noqa: S101 - set before `connect` returns
        self._waiting = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._waiting.set_exception(ConnectionResetError("closed by the server"))
        else:
            self._transport.write(content)
        return self._waiting

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


def client_context() -> ssl.SSLContext:
    """Return a context that trusts any certificate: the server's is self-signed, as in the container."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def connect(host: str, port: int, context: ssl.SSLContext) -> Connection:
    """Open a connection."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port, ssl=context)
    return connection
