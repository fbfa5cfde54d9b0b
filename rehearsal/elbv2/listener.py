"""A listener: an HTTP server on a loopback port."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from rehearsal.elbv2.proxy import error_response
from rehearsal.elbv2.routing import ListenerSettings
from rehearsal.host.sockets import listen

_BACKLOG = 1024
_HANDSHAKE_SECONDS = 10.0
_TLS_SHUTDOWN_SECONDS = 0.1  # the client has every byte of the response before
_SHUTDOWN_SECONDS = 1.0
_MAX_HEADER_BYTES = 65_536
_MAX_LINE_BYTES = 16_384

RequestHandler = Callable[[web.BaseRequest, ListenerSettings], Awaitable[web.StreamResponse]]


class Listener:
    """One listener; its settings may change while it is open."""

    def __init__(self, settings: ListenerSettings, handle: RequestHandler) -> None:
        self.settings = settings
        self.local_port = 0
        self._handle = handle
        self._http: _HttpServer | None = None
        self._server: asyncio.Server | None = None

    async def open(self, port: int, context: ssl.SSLContext | None, *, name: str, keepalive: float) -> None:
        """Start listening.

        Args:
            port: The local port; 0 takes any free one.
            context: The TLS context of an HTTPS listener.
            name: The name of the load balancer.
            keepalive: Seconds that an idle connection stays open.

        Raises:
            PortInUseError: The port cannot be used.

        """
        socket = listen(port, f"the {self.settings.protocol} listener {self.settings.port} of load balancer {name}")
        self.local_port = int(socket.getsockname()[1])
        self._http = _HttpServer(
            self,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        self._server = await asyncio.get_running_loop().create_server(
            self._http,
            sock=socket,
            backlog=_BACKLOG,
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
            ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS if context else None,
        )

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None and self._http is not None:
            self._server.close()
            self._http.pre_shutdown()
            await self._http.shutdown(_SHUTDOWN_SECONDS)
            self._server = self._http = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to a request."""
        return await self._handle(request, self.settings)


class _HttpServer(web.Server):
    """A server whose connections are instances of `_Connection`."""

    def __init__(self, listener: Listener, **options: Any) -> None:
        super().__init__(listener.handle)
        self.listener = listener
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, **self._options)


class _Connection(web.RequestHandler):
    """A connection whose malformed requests get the page of a load balancer: nothing of the request or of aiohttp."""

    def __init__(self, server: _HttpServer, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._listener = server.listener

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - the signature of aiohttp
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - the signature of aiohttp
        message: str | None = None,  # noqa: ARG002 - the signature of aiohttp
    ) -> web.StreamResponse:
        """Return the response to a request that is malformed or whose handling failed."""
        response = error_response(500 if status >= 500 else 400)
        self._listener.settings.adapt_headers(response.headers)
        response.force_close()
        return response
