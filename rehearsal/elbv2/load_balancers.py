"""The load balancers of a rehearsal."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rehearsal.elbv2.load_balancer import Endpoint, LoadBalancer, PortAllocator
from rehearsal.elbv2.routing import LoadBalancerSettings
from rehearsal.elbv2.target_groups import TargetGroups
from rehearsal.elbv2.web_acl_filter import WebAclFilter
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.waf.rate_based import Clock


class LoadBalancers:
    """The load balancers, by ARN."""

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
        """Create, change and close load balancers until they are as described.

        Raises:
            PortInUseError: A local port cannot be used.
            RehearsalError: A web ACL is not supported.

        """
        async with self._lock:
            wanted = {balancer.arn: balancer for balancer in settings}
            for arn in set(self._running) - set(wanted):
                await self._running.pop(arn).close()
            for arn, balancer in wanted.items():
                if arn not in self._running:
                    self._running[arn] = LoadBalancer(
                        balancer,
                        groups=self._groups,
                        authority=self._authority,
                        port_for=self._port_for,
                        logs=self._logs,
                        web_acl=WebAclFilter(logs=self._logs, notify=self._notify, clock=self._clock),
                    )
                await self._running[arn].update(balancer)

    def endpoints(self) -> dict[str, Endpoint]:
        """Return the local addresses by DNS name."""
        return {balancer.settings.dns_name: balancer.endpoint for balancer in tuple(self._running.values())}

    def localize(self, text: str) -> str:
        """Replace the DNS names of load balancers by local addresses; after `http://` by that of the HTTP listener."""
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
