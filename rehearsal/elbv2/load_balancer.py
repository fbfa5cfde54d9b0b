"""An Application Load Balancer as a reverse proxy on loopback."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aiohttp import web

from rehearsal.elbv2.listener import Listener
from rehearsal.elbv2.proxy import RelayedResponse, error_response, forward, origin_form
from rehearsal.elbv2.routing import Forward, ListenerSettings, LoadBalancerSettings, Redirect, Request
from rehearsal.elbv2.target_groups import TargetGroups
from rehearsal.elbv2.web_acl_filter import WebAclFilter
from rehearsal.host.certificates import CertificateAuthority

#: Load balancer name and listener port to the local port to listen on; 0 takes any free one.
PortAllocator = Callable[[str, int], int]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The local addresses of a load balancer (`localhost:port`)."""

    https: str | None
    http: str | None


class LoadBalancer:
    """One load balancer."""

    def __init__(
        self,
        settings: LoadBalancerSettings,
        *,
        groups: TargetGroups,
        authority: CertificateAuthority,
        port_for: PortAllocator,
        logs: Path,
        web_acl: WebAclFilter | None = None,
    ) -> None:
        self.settings = settings
        self._web_acl = web_acl or WebAclFilter(logs=logs)
        self._groups = groups
        self._port_for = port_for
        self._log_path = logs / f"load-balancer-{settings.name}.log"
        self._log: IO[str] | None = None
        self._listeners: dict[int, Listener] = {}
        self._authority = authority

    @property
    def endpoint(self) -> Endpoint:
        """The local addresses; of two listeners with one protocol, the one with the higher port is for tests."""
        addresses = {
            listener.settings.protocol: f"localhost:{listener.local_port}"
            for _, listener in sorted(self._listeners.items(), reverse=True)
        }
        return Endpoint(https=addresses.get("HTTPS"), http=addresses.get("HTTP"))

    async def update(self, settings: LoadBalancerSettings) -> None:
        """Open, change and close listeners, and set the web ACL.

        Raises:
            PortInUseError: A local port cannot be used.
            RehearsalError: The web ACL is not supported.

        """
        self._web_acl.update(settings.web_acl)
        self.settings = settings
        wanted = {listener.port: listener for listener in settings.listeners}
        for port, running in tuple(self._listeners.items()):
            if port not in wanted or wanted[port].protocol != running.settings.protocol:
                await self._listeners.pop(port).close()
        for port, listener in wanted.items():
            if port in self._listeners:
                self._listeners[port].settings = listener
                continue
            opened = Listener(listener, self._handle)
            context = None
            if listener.protocol == "HTTPS":
                context = self._authority.server_context(settings.dns_name)
                context.set_alpn_protocols(["http/1.1"])
            await opened.open(
                self._port_for(settings.name, port), context, name=settings.name, keepalive=settings.idle_timeout
            )
            self._listeners[port] = opened

    async def close(self) -> None:
        """Close every listener."""
        for port in tuple(self._listeners):
            await self._listeners.pop(port).close()
        self._web_acl.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    async def _handle(self, request: web.BaseRequest, listener: ListenerSettings) -> web.StreamResponse:
        """Respond to a request that a listener received."""
        began = time.perf_counter()
        response, source = await self._respond(request, listener)
        if not response.prepared:
            listener.adapt_headers(response.headers)
        milliseconds = (time.perf_counter() - began) * 1000
        self._write_log(f"{request.method} {request.raw_path} {response.status} {source} {milliseconds:.1f} ms")
        return response

    async def _respond(self, request: web.BaseRequest, listener: ListenerSettings) -> tuple[web.StreamResponse, str]:
        """Return the response, and for the log where it comes from."""
        target = origin_form(request.raw_path)
        if target is None:
            return error_response(400), "-"
        filtered = await self._web_acl.filter(request, idle_timeout=self.settings.idle_timeout)
        if filtered.response is not None:
            return filtered.response, "web ACL"
        routed = Request(
            path=target.partition("?")[0], query=request.query_string, host=(request.host or "").rsplit(":", 1)[0]
        )
        action = listener.action(routed)
        if isinstance(action, Redirect):
            ports = {port: opened.local_port for port, opened in self._listeners.items()}
            location = action.location(routed, protocol=listener.protocol, port=listener.port, local_ports=ports)
            headers = {"Location": location, "Server": "awselb/2.0"}
            return RelayedResponse(status=action.status, headers=headers), "-"
        return await self._forward(request, listener, action, filtered.body_start)

    async def _forward(
        self, request: web.BaseRequest, listener: ListenerSettings, action: Forward, body_start: bytes | None
    ) -> tuple[web.StreamResponse, str]:
        (arn,) = random.choices(list(action.groups), list(action.groups.values()))  # noqa: S311 - not for security
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
                load_balancer=self.settings,
                listener=listener,
                body_start=body_start,
            )
        finally:
            target.end_request()
        return response, str(target)

    def _write_log(self, line: str) -> None:
        if self._log is None:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._log_path.open("a", buffering=1, encoding="utf-8")
        self._log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")
