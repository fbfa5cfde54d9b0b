"""Listeners, rules and target health are those of an Application Load Balancer."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from rehearsal.elbv2.load_balancer import Endpoint, LoadBalancer
from rehearsal.elbv2.routing import Redirect, Rule
from rehearsal.elbv2.target_groups import TargetGroups, TargetHealth
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import PortInUseError
from tests.rehearsal.elbv2.harness import DNS_NAME, Handler, Harness, echo, run_scenario

pytestmark = pytest.mark.rehearsal

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(run_scenario, tmp_path)


def test_the_http_listener_redirects_to_the_https_listener(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        async with aiohttp.ClientSession() as client:
            url = f"http://{harness.endpoint.http}/v1/orders?limit=1"
            async with client.get(url, allow_redirects=False) as response:
                assert response.status == 301
                assert response.headers["Location"] == f"https://{harness.endpoint.https}/v1/orders?limit=1"

    run(scenario)


def test_the_certificate_is_valid_and_tls_1_1_is_refused(run: Run, tmp_path: Path) -> None:
    def handshake(port: int, name: str, maximum: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=tmp_path / "ca" / "ca.pem")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = maximum
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            version = tls.version()
            tls.unwrap()
            return version

    async def scenario(harness: Harness) -> None:
        assert harness.endpoint.https is not None
        port = int(harness.endpoint.https.partition(":")[2])
        for name in ("localhost", "127.0.0.1", DNS_NAME):
            assert await asyncio.to_thread(handshake, port, name, ssl.TLSVersion.MAXIMUM_SUPPORTED) == "TLSv1.3"
        assert await asyncio.to_thread(handshake, port, "localhost", ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(handshake, port, "other.example", ssl.TLSVersion.MAXIMUM_SUPPORTED)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
            await asyncio.to_thread(handshake, port, "localhost", ssl.TLSVersion.TLSv1_1)
        await asyncio.sleep(0.2)  # until the server has closed the refused connections

    run(scenario)


def test_without_targets_the_response_is_503(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        async with harness.client() as client, client.get("/") as response:
            assert (response.status, response.headers["Server"]) == (503, "awselb/2.0")
            assert "503 Service Temporarily Unavailable" in await response.text()

    run(scenario)


def test_healthy_targets_share_the_load(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        served: list[int] = []

        def named(number: int) -> Handler:
            async def handler(_request: web.BaseRequest) -> web.StreamResponse:
                served.append(number)
                return web.Response()

            return handler

        await harness.target(named(1))
        await harness.target(named(2))
        await harness.target(named(3), healthy=False)
        async with harness.client() as client:
            for _ in range(10):
                (await client.get("/")).release()
        assert sorted(served) == [1] * 5 + [2] * 5

    run(scenario)


def test_with_unhealthy_targets_only_they_serve(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        target = await harness.target(echo, healthy=False)
        assert target.health is TargetHealth.UNHEALTHY
        async with harness.client() as client, client.get("/") as response:
            assert response.status == 200

    run(scenario)


def test_the_first_matching_rule_applies(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        https, _ = harness.settings.listeners
        moved = Redirect(host="new.example", status=302)
        rules = (Rule(action=moved, path_patterns=("/old/*", "/older")), *https.rules)
        port = harness.endpoint.https
        await harness.balancers.synchronize([replace(harness.settings, listeners=(replace(https, rules=rules),))])
        assert harness.endpoint == Endpoint(https=port, http=None), "the listener stays, the other one is closed"
        async with harness.client() as client:
            for path, status in {"/old/a": 302, "/older": 302, "/old": 503}.items():
                async with client.get(path, allow_redirects=False) as response:
                    assert response.status == status

    run(scenario)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            settings = Harness(tmp_path).settings
            balancer = LoadBalancer(
                settings,
                groups=TargetGroups(),
                authority=CertificateAuthority(tmp_path),
                port_for=lambda name, listener: port if (name, listener) == ("alb-dev", 443) else 0,
                logs=tmp_path,
            )
            message = f"port {port} for the HTTPS listener 443 of load balancer alb-dev is in use"
            with pytest.raises(PortInUseError, match=message):
                await balancer.update(settings)
            await balancer.close()

    asyncio.run(scenario())


def test_dns_names_are_localized(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        https, http = harness.endpoint.https, harness.endpoint.http
        localize = harness.balancers.localize
        assert localize(f"https://{DNS_NAME}") == f"https://{https}"
        assert localize(f"https://{DNS_NAME}:443/x and http://{DNS_NAME}/y") == f"https://{https}/x and http://{http}/y"
        assert localize(DNS_NAME.upper()) == https
        assert localize("https://other.example") == "https://other.example"

    run(scenario)
