"""Listeners and rules: what a load balancer does with a request, before anything is forwarded."""

import fnmatch
import ipaddress
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.compute.errors import ComputeError


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request, as far as rules look at it."""

    method: str
    path: str
    query: str
    host: str
    client: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Forward:
    """Forward to target groups by weight."""

    groups: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Answer with another location; `#{host}` and the like stand for parts of the request."""

    protocol: str = "#{protocol}"
    port: str = "#{port}"
    host: str = "#{host}"
    path: str = "/#{path}"
    query: str = "#{query}"
    status: int = 301

    def location(self, arrival: Arrival, *, protocol: str, port: int, local_ports: Mapping[int, int]) -> str:
        """Return the new URL; ports of the same load balancer's listeners become what they are on this machine."""
        parts = {"protocol": protocol.lower(), "host": arrival.host, "port": str(port)}
        parts |= {"path": arrival.path.lstrip("/"), "query": arrival.query}

        def fill(text: str) -> str:
            return re.sub(r"#\{(\w+)\}", lambda match: parts.get(match[1], ""), text)

        wanted = int(fill(self.port))
        scheme = fill(self.protocol).lower()
        local = local_ports.get(wanted, wanted)
        authority = fill(self.host)
        if local != {"https": 443, "http": 80}.get(scheme):
            authority += f":{local}"
        query = fill(self.query)
        return f"{scheme}://{authority}{fill(self.path)}" + (f"?{query}" if query else "")


@dataclass(frozen=True, kw_only=True)
class FixedResponse:
    """Answer at once."""

    status: int
    content_type: str = "text/plain"
    body: str = ""


Action = Forward | Redirect | FixedResponse


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of a rule: a field and the values of which one must match."""

    name: str
    values: tuple[str, ...]
    header: str = ""

    def matches(self, arrival: Arrival) -> bool:
        """Whether a request satisfies it."""
        match self.name:
            case "path-pattern":
                return any(fnmatch.fnmatchcase(arrival.path, value) for value in self.values)
            case "host-header":
                return any(fnmatch.fnmatchcase(arrival.host.lower(), value.lower()) for value in self.values)
            case "http-request-method":
                return arrival.method in self.values
            case "http-header":
                found = arrival.headers.get(self.header, "").lower()
                return any(fnmatch.fnmatchcase(found, value.lower()) for value in self.values)
            case "query-string":
                pairs = arrival.query.split("&")
                return any(fnmatch.fnmatchcase(pair, value) for pair in pairs for value in self.values)
            case "source-ip":
                client = ipaddress.ip_address(arrival.client)
                return any(client in ipaddress.ip_network(value) for value in self.values)
            case _:
                raise ComputeError(f"a listener rule has the condition {self.name!r}, which is not known here")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One listener rule; all its conditions must match."""

    action: Action
    conditions: tuple[Condition, ...] = ()

    def matches(self, arrival: Arrival) -> bool:
        """Whether it is the rule for a request."""
        return all(condition.matches(arrival) for condition in self.conditions)


@dataclass(frozen=True, kw_only=True)
class ListenerSettings:
    """One listener; its rules in order of priority, the default last."""

    port: int
    protocol: str
    rules: tuple[Rule, ...]
    #: Set on every answer, whoever makes it.
    response_headers: Mapping[str, str] = field(default_factory=dict)
    names_server: bool = True

    def dress(self, headers: MutableMapping[str, str]) -> None:
        """Change the headers of an answer as the listener's attributes say."""
        headers.update(self.response_headers)
        if not self.names_server:
            headers.pop("Server", None)

    def action(self, arrival: Arrival) -> Action:
        """Return what to do with a request."""
        return next(rule.action for rule in self.rules if rule.matches(arrival))


@dataclass(frozen=True, kw_only=True)
class LoadBalancerSettings:
    """A load balancer as ELBv2 describes it."""

    arn: str
    name: str
    dns_name: str
    listeners: tuple[ListenerSettings, ...] = field(default_factory=tuple)
    idle_timeout: float = 60
    drop_invalid_headers: bool = False
    #: What WAFv2 says of the web ACL in front, if there is one.
    web_acl: Mapping[str, Any] | None = None
