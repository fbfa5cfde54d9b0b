"""Application Load Balancers as reverse proxies on loopback, with certificates of the rehearsal's authority."""

import asyncio
import errno
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aiohttp import web

from rehearsal.compute.certificates import CertificateAuthority
from rehearsal.compute.errors import PortInUseError
from rehearsal.compute.firewall.gate import Gate
from rehearsal.compute.firewall.rates import Clock
from rehearsal.compute.proxy import RelayedResponse, error_response, fixed_response, forward, origin_form
from rehearsal.compute.routing import (
    Arrival,
    FixedResponse,
    Forward,
    ListenerSettings,
    LoadBalancerSettings,
    Redirect,
)
from rehearsal.compute.target_groups import TargetGroups

PortAllocator = Callable[[str, int], int]
"""Load balancer name and listener port -> the local port to listen on; 0 takes any free one."""

_LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 0.1  # for the client's part of closing TLS; it has every byte of its answer before
_SHUTDOWN_SECONDS = 1.0
_MAX_HEADER_BYTES = 65_536
_MAX_LINE_BYTES = 16_384


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a load balancer listens on this machine (`localhost:port`)."""

    https: str | None
    http: str | None


class LoadBalancer:
    """One load balancer: a server for each listener."""

    def __init__(
        self,
        settings: LoadBalancerSettings,
        *,
        groups: TargetGroups,
        authority: CertificateAuthority,
        port_for: PortAllocator,
        logs: Path,
        gate: Gate | None = None,
    ) -> None:
        self.settings = settings
        self._gate = gate or Gate(logs=logs)
        self._groups = groups
        self._port_for = port_for
        self._log_path = logs / f"load-balancer-{settings.name}.log"
        self._log: IO[str] | None = None
        self._listeners: dict[int, _Listener] = {}
        self._context: ssl.SSLContext | None = None
        self._authority = authority

    @property
    def ports(self) -> Mapping[int, int]:
        """Listener port -> local port."""
        return {port: listener.local_port for port, listener in self._listeners.items()}

    @property
    def endpoint(self) -> Endpoint:
        """Where clients find it: of two listeners of a protocol, the one with the higher port is for tests."""
        found = {
            listener.settings.protocol: f"localhost:{listener.local_port}"
            for _, listener in sorted(self._listeners.items(), reverse=True)
        }
        return Endpoint(https=found.get("HTTPS"), http=found.get("HTTP"))

    async def update(self, settings: LoadBalancerSettings) -> None:
        """Open, change and close listeners until they are as described, behind the web ACL.

        Raises:
            PortInUseError: a local port that was asked for is taken.
            ComputeError: the web ACL has something that cannot be done here.
        """
        self._gate.update(settings.web_acl)
        self.settings = settings
        wanted = {listener.port: listener for listener in settings.listeners}
        for port in set(self._listeners) - set(wanted):
            await self._listeners.pop(port).close()
        for port, listener in wanted.items():
            running = self._listeners.get(port)
            if running is not None and running.settings.protocol == listener.protocol:
                running.settings = listener
                continue
            if running is not None:
                await self._listeners.pop(port).close()
            opened = _Listener(self, listener)
            await opened.open(
                self._port_for(settings.name, port), self._tls() if listener.protocol == "HTTPS" else None
            )
            self._listeners[port] = opened

    async def close(self) -> None:
        """Close every listener."""
        for port in tuple(self._listeners):
            await self._listeners.pop(port).close()
        self._gate.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    async def handle(self, request: web.BaseRequest, listener: ListenerSettings) -> web.StreamResponse:
        """Answer one request as the listener's rules say."""
        began = time.perf_counter()
        response, served_by = await self._answer(request, listener)
        if not response.prepared:
            listener.dress(response.headers)
        milliseconds = (time.perf_counter() - began) * 1000
        self._write_log(f"{request.method} {request.raw_path} {response.status} {served_by} {milliseconds:.1f} ms")
        return response

    async def _answer(self, request: web.BaseRequest, listener: ListenerSettings) -> tuple[web.StreamResponse, str]:
        target = origin_form(request.raw_path)
        if target is None:
            return error_response(400), "-"
        passage = await self._gate.admit(request, idle_timeout=self.settings.idle_timeout)
        if passage.response is not None:
            return passage.response, "web ACL"
        arrival = Arrival(
            method=request.method,
            path=target.partition("?")[0],
            query=request.query_string,
            host=(request.host or "").rsplit(":", 1)[0],
            client=request.remote or _LOOPBACK,
            headers=request.headers,
        )
        action = listener.action(arrival)
        if isinstance(action, Redirect):
            location = action.location(arrival, protocol=listener.protocol, port=listener.port, local_ports=self.ports)
            headers = {"Location": location, "Server": "awselb/2.0"}
            return RelayedResponse(status=action.status, headers=headers), "-"
        if isinstance(action, FixedResponse):
            return fixed_response(action), "-"
        return await self._forward(request, listener, action, passage.beginning)

    async def _forward(
        self, request: web.BaseRequest, listener: ListenerSettings, action: Forward, beginning: bytes | None
    ) -> tuple[web.StreamResponse, str]:
        arns, weights = list(action.groups), list(action.groups.values())
        arn = arns[0] if len(arns) == 1 else random.choices(arns, weights)[0]  # noqa: S311  spreading load
        group = self._groups.get(arn)
        target = group.choose() if group is not None else None
        if group is None or target is None:
            return error_response(503), "no healthy target"
        target.begin_request()
        try:
            response = await forward(
                request,
                target,
                protocol=group.settings.protocol,
                scheme=listener.protocol.lower(),
                port=listener.port,
                idle_timeout=self.settings.idle_timeout,
                drop_invalid_headers=self.settings.drop_invalid_headers,
                dress=listener.dress,
                beginning=beginning,
            )
        finally:
            target.end_request()
        return response, str(target)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            leaf = self._authority.issue([self.settings.dns_name])
            self._context = leaf.server_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def _write_log(self, line: str) -> None:
        if self._log is None:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._log_path.open("a", buffering=1, encoding="utf-8")
        self._log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")


class _Protocol(web.RequestHandler):
    """HTTP with one client, whose broken requests get a load balancer's page: nothing of them or of this library."""

    def __init__(self, server: "_Server", **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._listener = server.listener

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """The answer to what could not be read, or not be handled."""
        response = error_response(500 if status >= 500 else 400)
        self._listener.settings.dress(response.headers)
        response.force_close()
        return response


class _Server(web.Server):
    """Speaks :class:`_Protocol` with every client."""

    def __init__(self, listener: "_Listener", **options: Any) -> None:
        super().__init__(listener.handle)
        self.listener = listener
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, **self._options)


class _Listener:
    """One listening socket."""

    def __init__(self, owner: LoadBalancer, settings: ListenerSettings) -> None:
        self.settings = settings
        self.local_port = 0
        self._owner = owner
        self._protocols: _Server | None = None
        self._server: asyncio.Server | None = None

    async def open(self, port: int, context: ssl.SSLContext | None) -> None:
        name = (
            f"the {self.settings.protocol} listener {self.settings.port} of load balancer {self._owner.settings.name}"
        )
        listening = listen(port, name)
        self.local_port = int(listening.getsockname()[1])
        self._protocols = _Server(
            self,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self._owner.settings.idle_timeout,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        self._server = await asyncio.get_running_loop().create_server(
            self._protocols,
            sock=listening,
            backlog=_BACKLOG,
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
            ssl_shutdown_timeout=_GOODBYE_SECONDS if context else None,
        )

    async def close(self) -> None:
        if self._server is not None and self._protocols is not None:
            self._server.close()
            self._protocols.pre_shutdown()
            await self._protocols.shutdown(_SHUTDOWN_SECONDS)
            self._server = self._protocols = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        return await self._owner.handle(request, self.settings)


class LoadBalancers:
    """Every load balancer of a rehearsal."""

    def __init__(
        self,
        *,
        groups: TargetGroups,
        authority: CertificateAuthority,
        port_for: PortAllocator,
        logs: Path,
        notify: Callable[[str], None] = lambda _line: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._groups = groups
        self._authority = authority
        self._port_for = port_for
        self._logs = logs
        self._notify = notify
        self._clock = clock
        self._running: dict[str, LoadBalancer] = {}
        self._lock = asyncio.Lock()

    async def synchronize(self, settings: Iterable[LoadBalancerSettings]) -> None:
        """Make, change and close load balancers until they are as described.

        Raises:
            PortInUseError: a local port that was asked for is taken.
            ComputeError: a web ACL has something that cannot be done here.
        """
        async with self._lock:
            wanted = {one.arn: one for one in settings}
            for arn in set(self._running) - set(wanted):
                await self._running.pop(arn).close()
            for arn, one in wanted.items():
                if arn not in self._running:
                    self._running[arn] = LoadBalancer(
                        one,
                        groups=self._groups,
                        authority=self._authority,
                        port_for=self._port_for,
                        logs=self._logs,
                        gate=Gate(logs=self._logs, notify=self._notify, clock=self._clock),
                    )
                await self._running[arn].update(one)

    def endpoints(self) -> dict[str, Endpoint]:
        """DNS name in AWS -> where it is on this machine."""
        return {balancer.settings.dns_name: balancer.endpoint for balancer in tuple(self._running.values())}

    def localize(self, text: str) -> str:
        """Replace DNS names of load balancers by local authorities, after `http://` by the HTTP listener's."""
        for dns_name, endpoint in self.endpoints().items():
            if dns_name.lower() not in text.lower():
                continue
            name = re.escape(dns_name)
            if endpoint.http is not None:
                text = re.sub(f"(http://){name}(:80)?", rf"\g<1>{endpoint.http}", text, flags=re.IGNORECASE)
            if endpoint.https is not None:
                text = re.sub(f"{name}(:443)?", endpoint.https, text, flags=re.IGNORECASE)
        return text

    async def close(self) -> None:
        """Close every load balancer."""
        await self.synchronize(())


def listen(port: int, what: str) -> socket.socket:
    """Listen on a loopback port; 0 takes any free one.

    Raises:
        PortInUseError: naming the port and what it was for.
    """
    try:
        return socket.create_server((_LOOPBACK, port), backlog=_BACKLOG)
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            problem = "is in use" if error.errno == errno.EADDRINUSE else "needs privileges"
            message = (
                f"port {port}, wanted for {what}, {problem}: stop what uses it, or choose another one (0 takes any)"
            )
            raise PortInUseError(message) from error
        raise
