"""Listeners and their rules: what a load balancer does with a request."""

import fnmatch
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Request:
    """The part of a request that rules depend on."""

    path: str
    query: str
    host: str


@dataclass(frozen=True, kw_only=True)
class Forward:
    """Forward to target groups, by weight."""

    groups: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Redirect to another URL; `#{host}` and the like are replaced by parts of the request."""

    protocol: str = "#{protocol}"
    port: str = "#{port}"
    host: str = "#{host}"
    path: str = "/#{path}"
    query: str = "#{query}"
    status: int = 301

    def location(self, request: Request, *, protocol: str, port: int, local_ports: Mapping[int, int]) -> str:
        """Return the URL.

        Args:
            request: The request.
            protocol: The protocol of the listener.
            port: The port of the listener.
            local_ports: Listener port to local port, for all listeners of the load balancer.

        """
        parts = {"protocol": protocol.lower(), "host": request.host, "port": str(port)}
        parts |= {"path": request.path.lstrip("/"), "query": request.query}

        def fill(text: str) -> str:
            return re.sub(r"#\{(\w+)\}", lambda match: parts.get(match[1], ""), text)

        target_port = int(fill(self.port))
        scheme = fill(self.protocol).lower()
        local_port = local_ports.get(target_port, target_port)
        authority = fill(self.host)
        if local_port != {"https": 443, "http": 80}.get(scheme):
            authority += f":{local_port}"
        query = fill(self.query)
        return f"{scheme}://{authority}{fill(self.path)}" + (f"?{query}" if query else "")


Action = Forward | Redirect


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A listener rule; without path patterns it applies to every request."""

    action: Action
    path_patterns: tuple[str, ...] = ()

    def matches(self, request: Request) -> bool:
        """Return whether the rule applies to a request."""
        if not self.path_patterns:
            return True
        return any(fnmatch.fnmatchcase(request.path, pattern) for pattern in self.path_patterns)


@dataclass(frozen=True, kw_only=True)
class ListenerSettings:
    """A listener."""

    port: int
    protocol: str
    #: In order of priority, the default rule last.
    rules: tuple[Rule, ...]
    #: Set on every response.
    response_headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether responses keep their `Server` header.
    server_header: bool = True

    def adapt_headers(self, headers: MutableMapping[str, str]) -> None:
        """Change the headers of a response as the attributes of the listener say."""
        headers.update(self.response_headers)
        if not self.server_header:
            headers.pop("Server", None)

    def action(self, request: Request) -> Action:
        """Return the action for a request."""
        return next(rule.action for rule in self.rules if rule.matches(request))


@dataclass(frozen=True, kw_only=True)
class LoadBalancerSettings:
    """A load balancer."""

    arn: str
    name: str
    dns_name: str
    listeners: tuple[ListenerSettings, ...] = ()
    #: In seconds.
    idle_timeout: float = 60
    drop_invalid_headers: bool = False
    #: The web ACL in the form of WAFv2's API, if there is one.
    web_acl: Mapping[str, object] | None = None
