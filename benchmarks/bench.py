"""`make bench`: throughput and latency of one api process.

It starts the API as `make serve` does, sends a fixed number of requests over loopback at several concurrencies, prints
a table and writes `.run/bench.json`. The results include TLS, the local load balancer, both transactions and the
sandbox processor, and the load generator shares the cores, so that they are a lower bound for a task of the same size.
"""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

import aiohttp
from rich.console import Console
from rich.table import Table

_RUN = Path(".run")
_START_SECONDS = 120.0
_CONCURRENCIES = (1, 4, 16, 64)
_REQUESTS = 600
_WARM_UP = 50
_PAYMENT = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}

Call = Callable[[aiohttp.ClientSession], Awaitable[int]]


class BenchError(Exception):
    """The API did not start, or returned an unexpected response."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The measurement of a kind of request at one concurrency; latencies are in milliseconds."""

    request: str
    concurrency: int
    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


async def measure(
    name: str, call: Call, expected: int, concurrency: int, session: aiohttp.ClientSession
) -> Measurement:
    """Send requests with `concurrency` in flight; a status other than `expected` counts as failed."""
    latencies: list[float] = []
    failed = 0
    remaining = iter(range(_REQUESTS))

    async def client() -> None:
        nonlocal failed
        for _ in remaining:
            begun = time.perf_counter()
            failed += await call(session) != expected
            latencies.append((time.perf_counter() - begun) * 1000)

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    elapsed = time.perf_counter() - begun
    cuts = quantiles(latencies, n=100)
    return Measurement(
        request=name,
        concurrency=concurrency,
        requests=_REQUESTS,
        failed=failed,
        per_second=round(_REQUESTS / elapsed, 1),
        p50_ms=round(cuts[49], 1),
        p90_ms=round(cuts[89], 1),
        p99_ms=round(cuts[98], 1),
    )


async def run(serve: dict[str, str]) -> list[Measurement]:
    """Measure the creation and the reading of payments at every concurrency."""
    context = ssl.create_default_context(cafile=serve["ca_file"])
    headers = {"Authorization": f"Bearer {serve['api_key']}"}
    connector = aiohttp.TCPConnector(ssl=context, limit=max(_CONCURRENCIES))
    async with aiohttp.ClientSession(serve["url"], connector=connector, headers=headers) as session:

        async def create(session: aiohttp.ClientSession) -> int:
            key = {"Idempotency-Key": str(uuid.uuid4())}
            async with session.post("/v1/payments", json=_PAYMENT, headers=key) as response:
                await response.read()
                return response.status

        key = {"Idempotency-Key": str(uuid.uuid4())}
        async with session.post("/v1/payments", json=_PAYMENT, headers=key) as response:
            payment = await response.json()
        if response.status != 201:  # created
            msg = f"POST /v1/payments returned {response.status}: {payment}"
            raise BenchError(msg)

        async def read(session: aiohttp.ClientSession) -> int:
            async with session.get(f"/v1/payments/{payment['id']}") as response:
                await response.read()
                return response.status

        for _ in range(_WARM_UP):
            await create(session)
        kinds: list[tuple[str, Call, int]] = [("create, automatic capture", create, 201), ("read", read, 200)]
        return [
            await measure(name, call, expected, concurrency, session)
            for name, call, expected in kinds
            for concurrency in _CONCURRENCIES
        ]


def main() -> int:
    """Start the API, measure, report and stop it; return 1 when a request failed."""
    console = Console()
    facts = _RUN / "serve.json"
    facts.unlink(missing_ok=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "local.serve"], env={**os.environ, "PORT": "0"}, stdout=subprocess.DEVNULL
    )
    try:
        rows = asyncio.run(run(_wait_for(facts, server)))
    except BenchError as error:
        console.print(f"bench: {error}", markup=False, highlight=False)
        return 1
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
    _report(console, rows)
    cores = os.cpu_count()
    content = {"cores": cores, "python": sys.version.split()[0], "measurements": [asdict(row) for row in rows]}
    (_RUN / "bench.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row.failed for row in rows) else 0


def _wait_for(facts: Path, server: "subprocess.Popen[bytes]") -> dict[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while not facts.exists():
        if server.poll() is not None:
            msg = f"`make serve` exited with status {server.returncode}; run it to see why"
            raise BenchError(msg)
        if time.monotonic() > deadline:
            msg = f"`make serve` was not ready within {_START_SECONDS:.0f} seconds"
            raise BenchError(msg)
        time.sleep(0.1)
    content: dict[str, str] = json.loads(facts.read_text(encoding="utf-8"))
    return content


def _report(console: Console, rows: list[Measurement]) -> None:
    table = Table(title=f"One api process and its load generator on {os.cpu_count()} cores; latencies in ms")
    for heading in ("request", "in flight", "requests", "failed", "per second", "p50", "p90", "p99"):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    for row in rows:
        table.add_row(*(str(value) for value in asdict(row).values()))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
