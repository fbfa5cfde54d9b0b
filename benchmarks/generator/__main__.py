"""`python -m benchmarks.generator`: read one `Work` as a line of JSON, do it, write `Done` as JSON.

In between it writes a line when it is connected, and waits for one: what comes before costs the measured nothing.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import cycle

from benchmarks.generator.connection import Connection, client_context, connect
from benchmarks.generator.flows import FLOWS, UnexpectedResponseError
from benchmarks.generator.work import READY, Done, Work

_HOST = "127.0.0.1"
#: Seconds that an open loop waits for what is still in flight at its end.
_GRACE = 30.0
_MILLISECONDS = 1000


class Generator:
    """Does one piece of work."""

    def __init__(self, work: Work, wait: Callable[[], object] = lambda: None) -> None:
        self._work = work
        self._wait = wait
        self._flow = FLOWS[work.flow]
        self._keys, self._payments = cycle(work.keys), cycle(work.payments or ("",))
        self._done = Done()
        self._context = client_context()

    async def run(self) -> Done:
        """Connect, send for the given time, and return what became of it."""
        work = self._work
        connections = [await self._connect() for _ in range(work.connections)]
        self._wait()
        begun, processor = time.perf_counter(), time.process_time()
        if work.rate is None:
            await self._closed(connections, begun + work.seconds)
        else:
            await self._open(connections, work.rate)
        self._done.elapsed = time.perf_counter() - begun
        self._done.processor_seconds = time.process_time() - processor
        for connection in connections:
            connection.close()
        return self._done

    async def _connect(self) -> Connection:
        return await connect(_HOST, self._work.port, self._context)

    async def _closed(self, connections: list[Connection], end: float) -> None:
        """Every connection sends its next request once the one before is answered."""
        remaining: Iterator[int] = iter(range(self._work.flows or sys.maxsize))

        async def client(connection: Connection) -> None:
            for _ in remaining:
                now = time.perf_counter()
                if now >= end or not await self._once(connection, now):
                    return

        await asyncio.gather(*(client(connection) for connection in connections))

    async def _open(self, connections: list[Connection], rate: float) -> None:
        """Begin `rate` flows a second. One that finds no free connection waits, and its latency includes the wait."""
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            free.put_nowait(connection)
        tasks: set[asyncio.Task[None]] = set()
        begun = time.perf_counter()

        async def start(intended: float) -> None:
            connection = await free.get()
            self._done.lateness.append((time.perf_counter() - intended) * _MILLISECONDS)
            alive = await self._once(connection, intended)
            free.put_nowait(connection if alive else await self._connect())

        for number in range(int(rate * self._work.seconds)):
            intended = begun + number / rate
            wait = intended - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(start(intended))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=_GRACE)
            for task in unfinished:
                task.cancel()
                self._fail("no response in time")

    async def _once(self, connection: Connection, since: float) -> bool:
        """Do one flow; return whether the connection can be used again."""
        try:
            await self._flow(connection, next(self._keys), next(self._payments))
        except UnexpectedResponseError as response:
            self._fail(str(response))
            return True
        except ConnectionError as error:
            self._fail(f"connection: {error}")
            return False
        self._done.succeeded += 1
        self._done.latencies.append(round((time.perf_counter() - since) * _MILLISECONDS, 3))
        return True

    def _fail(self, what: str) -> None:
        self._done.failures[what] = self._done.failures.get(what, 0) + 1


def _say_ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.readline()


def main() -> int:
    """Do the work on standard input."""
    content = json.loads(sys.stdin.readline())
    content["keys"], content["payments"] = tuple(content["keys"]), tuple(content["payments"])
    done = asyncio.run(Generator(Work(**content), _say_ready).run())
    json.dump(asdict(done), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
