"""A load balancer in front of targets that run in this process."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from rehearsal.elbv2.load_balancer import Endpoint
from rehearsal.elbv2.load_balancers import LoadBalancers
from rehearsal.elbv2.routing import Forward, ListenerSettings, LoadBalancerSettings, Redirect, Rule
from rehearsal.elbv2.target_groups import Target, TargetGroups, TargetGroupSettings
from rehearsal.host.certificates import CertificateAuthority

GROUP = "arn:group"
DNS_NAME = "alb-dev-1234.us-east-1.elb.amazonaws.com"
TO_GROUP = Forward(groups={GROUP: 1})
TO_HTTPS = Redirect(protocol="HTTPS", port="443", status=301)
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Harness:
    """A load balancer with an HTTPS and an HTTP listener, and its targets."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.authority = CertificateAuthority(folder / "ca")
        self.groups = TargetGroups()
        self.settings = LoadBalancerSettings(
            arn="arn:alb",
            name="alb-dev",
            dns_name=DNS_NAME,
            listeners=(
                ListenerSettings(port=443, protocol="HTTPS", rules=(Rule(action=TO_GROUP),)),
                ListenerSettings(port=80, protocol="HTTP", rules=(Rule(action=TO_HTTPS),)),
            ),
            **settings,
        )
        #: The lines that it has reported.
        self.notifications: list[str] = []
        #: The time on the clock of its web ACL.
        self.now = 0.0
        self.balancers = LoadBalancers(
            groups=self.groups,
            authority=self.authority,
            port_for=lambda *_: 0,
            logs=folder / "logs",
            notify=self.notifications.append,
            clock=lambda: self.now,
        )
        self.log = folder / "logs" / "load-balancer-alb-dev.log"
        self._runners: list[web.ServerRunner] = []

    @property
    def endpoint(self) -> Endpoint:
        return self.balancers.endpoints()[DNS_NAME]

    async def target(self, handler: Handler, *, healthy: bool = True) -> Target:
        """Register a target that serves HTTPS with an untrusted certificate."""

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            if request.path == "/healthz":
                return web.Response(status=200 if healthy else 500)
            return await handler(request)

        runner = web.ServerRunner(web.Server(serve, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        listening = socket.create_server(("127.0.0.1", 0))
        context = CertificateAuthority(Path(self.log.parents[1], "untrusted")).server_context()
        await web.SockSite(runner, listening, ssl_context=context).start()
        group = self.groups.get(GROUP)
        assert group is not None
        target = group.register("127.0.0.1", listening.getsockname()[1])
        await (target.healthy if healthy else target.unhealthy).wait()
        return target

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        trust = ssl.create_default_context(cafile=self.authority.certificate)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(f"https://{self.endpoint.https}", connector=connector) as session:
            yield session

    async def open(self) -> None:
        settings = TargetGroupSettings(arn=GROUP, name="api", health_path="/healthz", health_interval=0.2)
        await self.groups.synchronize({GROUP: settings})
        await self.balancers.synchronize([self.settings])

    async def close(self) -> None:
        await self.balancers.close()
        await self.groups.close()
        for runner in self._runners:
            await runner.cleanup()
        # Aborted connections close in the next iterations of the loop; until then their sockets count as leaked.
        await asyncio.sleep(0.05)


Scenario = Callable[[Harness], Coroutine[None, None, None]]


def run_scenario(folder: Path, scenario: Scenario, **settings: object) -> None:
    """Run a scenario with a load balancer whose files are in `folder`."""

    async def run() -> None:
        harness = Harness(folder, **settings)
        try:
            await harness.open()
            async with asyncio.timeout(30):
                await scenario(harness)
        finally:
            await harness.close()

    asyncio.run(run())


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body.decode(),
        },
        headers={"X-From": "target", "Set-Cookie": "a=1", "Connection": "X-Dropped", "X-Dropped": "1"},
    )
