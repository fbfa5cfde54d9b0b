"""Thousands of receivers of webhooks on one thread: hostile ones, and honest ones that note when they were called."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#: Seconds after which a slow receiver accepts: nearly all that a sender waits.
_SLOW = 12.0
_DRIP = 0.5


@dataclass
class Crowd:
    """The path of a receiver's URL says what it does, such as `/hang/7`."""

    port: int = 0
    #: When each event arrived at an honest receiver for the first time, on the monotonic clock.
    arrived: dict[str, float] = field(default_factory=dict)
    #: Connections that are open at the moment, and the most there were, by behaviour.
    open: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    #: Requests by behaviour.
    requests: dict[str, int] = field(default_factory=dict)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    #: One for each open connection.
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, behavior: str, number: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/{behavior}/{number}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # asyncio runs this as a task
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            behavior = head.split("/")[1]
            self.requests[behavior] = self.requests.get(behavior, 0) + 1
            self.open[behavior] = self.open.get(behavior, 0) + 1
            self.most[behavior] = max(self.most.get(behavior, 0), self.open[behavior])
            try:
                await self._behave(behavior, head, reader, writer)
            finally:
                self.open[behavior] -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        else:
            writer.close()

    async def _behave(
        self, behavior: str, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match behavior:
            case "hang":
                while await reader.read(65536):
                    pass
            case "slow":
                await asyncio.sleep(_SLOW)
                writer.write(_OK)
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not reader.at_eof():
                    writer.write(b"x")
                    await asyncio.sleep(_DRIP)
            case "reset":
                writer.transport.abort()
            case _:
                event = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("webhook-id"))
                self.arrived.setdefault(event, time.monotonic())
                writer.write(_OK)
                await writer.drain()


@contextlib.contextmanager
def crowd() -> Iterator[Crowd]:
    """Serve on loopback; at the end, every connection is cut."""
    found, ready, loop = Crowd(), threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(found.handle, "127.0.0.1", 0, backlog=1024)
        found.port = server.sockets[0].getsockname()[1]
        ready.set()
        await end.wait()
        # asyncio leaks an accepted connection if the server closes, or its task is cancelled, before that begins.
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        while len(asyncio.all_tasks()) > 1:
            for task in found.tasks:
                task.cancel()
            await asyncio.sleep(0)
        server.close()
        for writer in found.writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in found.writers), return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
