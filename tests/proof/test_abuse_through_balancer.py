"""Through a load balancer as well, one request has one answer, and no client gets another's."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.proof.attacked_api import Api, attacked
from tests.proof.http_shapes import SHAPES, Shape
from tests.rehearsal.elbv2.harness import GROUP, Harness, run_scenario
from tests.service.fixtures import Postgres, make_key

pytestmark = pytest.mark.rehearsal

_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
_SECONDS = 15.0
#: Shapes that share the load balancer's connections to the target.
_AT_ONCE = 10
#: The load balancer's own answers, before it chooses a target.
_OWN = {400, 408, 413, 414, 431, 501, 505}


@pytest.fixture(scope="module")
def api(migrated: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with attacked(migrated, make_key(migrated, "mer_abuse"), tmp_path_factory.mktemp("abuse")) as running:
        yield running
    migrated.empty()


class Client:
    """One connection to the load balancer."""

    def __init__(self, harness: Harness) -> None:
        self._port = int(str(harness.endpoint.https).rpartition(":")[2])
        self._trust = ssl.create_default_context(cafile=harness.authority.certificate)

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("localhost", self._port, ssl=self._trust)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def ask(self, data: bytes) -> tuple[int, bytes] | None:
        """Send `data`; return status and body of one response, None if the connection ends without one."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            self.writer.write(data)
            async with asyncio.timeout(_SECONDS):
                head = await self.reader.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ")[1])
                fields = [line.lower().partition(b": ") for line in head.split(b"\r\n")[1:]]
                length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
                return status, await self.reader.readexactly(length)
        return None


async def forward_to(api: Api, harness: Harness) -> None:
    group = harness.groups.get(GROUP)
    assert group is not None
    await group.register("127.0.0.1", api.port).healthy.wait()


def test_no_shape_is_read_in_two_ways(api: Api, tmp_path: Path) -> None:
    """After each, the connections to the target still give everybody their own answers."""

    async def send(harness: Harness, shape: Shape) -> None:
        async with Client(harness) as client:
            answer = await client.ask(shape.data)
        assert answer is not None, shape.name
        assert answer[0] in _OWN | {shape.status, 200, 401, 404}, shape.name
        async with Client(harness) as other:
            assert await other.ask(_HEALTH) == (200, b'{"status":"ok"}'), shape.name

    async def scenario(harness: Harness) -> None:
        await forward_to(api, harness)
        complete = [shape for shape in SHAPES if len(shape.data) < 2000 and shape.name not in _INCOMPLETE]
        for first in range(0, len(complete), _AT_ONCE):
            await asyncio.gather(*(send(harness, shape) for shape in complete[first : first + _AT_ONCE]))

    run_scenario(tmp_path, scenario, drop_invalid_headers=True)


#: What a load balancer waits for the rest of, as it has no limit that they exceed.
_INCOMPLETE = {"binary", "nothing_like_it", "version_09", "length_too_large", "length_much_too_large"}


def test_a_smuggled_payment_is_not_made(api: Api, tmp_path: Path) -> None:
    smuggled = api.payment("smuggled")
    both = b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    async def scenario(harness: Harness) -> None:
        await forward_to(api, harness)
        async with Client(harness) as client:
            answer = await client.ask(both % (len(smuggled) + 5) + smuggled)
            assert answer is None or answer[0] == 400

    run_scenario(tmp_path, scenario)
    assert "idempotency-replayed" not in api.answer(smuggled).headers


def test_dripping_clients_hold_up_nobody(api: Api, tmp_path: Path) -> None:
    drip = b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"

    async def scenario(harness: Harness) -> None:
        await forward_to(api, harness)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(100):
                client = await stack.enter_async_context(Client(harness))
                client.writer.write(drip)
            async with Client(harness) as other:
                assert await other.ask(_HEALTH) == (200, b'{"status":"ok"}')
                paid = await other.ask(api.payment("beside"))
                assert paid is not None
                assert paid[0] == 201
            await asyncio.to_thread(partial(api.assert_serves, "directly"))

    run_scenario(tmp_path, scenario)
