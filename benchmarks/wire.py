"""A tap between the service and PostgreSQL that counts what goes over the wire: statements and round trips."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from rehearsal.host.sockets import LOOPBACK

_SIMPLE_QUERY, _EXECUTE = ord("Q"), ord("E")
_CHUNK = 65_536


@dataclass(kw_only=True)
class Traffic:
    """What the clients of all connections have sent so far."""

    #: Executed statements; those of one simple query count each.
    statements: int = 0
    #: Times that a client spoke after the server had spoken: each waits for the network once.
    round_trips: int = 0


class Messages:
    """Splits a client's bytes into the messages of PostgreSQL's protocol, version 3."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._started = False

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the type and the content of every message that is complete."""
        self._buffer += data
        while True:
            head = 1 if self._started else 0  # the first message of a connection has no type
            if len(self._buffer) < head + 4:
                return
            end = head + int.from_bytes(self._buffer[head : head + 4])
            if len(self._buffer) < end:
                return
            kind, content = self._buffer[0] if self._started else 0, bytes(self._buffer[head + 4 : end])
            del self._buffer[:end]
            self._started = True
            yield kind, content


def statements(kind: int, content: bytes) -> int:
    """Return how many statements a message executes."""
    if kind == _EXECUTE:
        return 1
    if kind == _SIMPLE_QUERY:
        return sum(bool(part.strip()) for part in content.rstrip(b"\0").split(b";"))
    return 0


@contextmanager
def tap(port: int) -> Iterator[tuple[int, Traffic]]:
    """Forward a port of its own to PostgreSQL's; yields it, and the traffic, which grows meanwhile."""
    traffic, loop = Traffic(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tap", daemon=True)
    thread.start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(lambda reader, writer: _forward(reader, writer, port, traffic), LOOPBACK, 0)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1], traffic
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Accept nothing more, and end the connections that are left when a block failed."""
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, traffic: Traffic) -> None:
    # Cancelled at the end of the tap, which asyncio of Python 3.11 would report as an error of the connection.
    with suppress(asyncio.CancelledError), closing(writer):
        from_server, to_server = await asyncio.open_connection(LOOPBACK, port)
        with closing(to_server):
            await _exchange(reader, writer, from_server, to_server, traffic)


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    from_server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
    traffic: Traffic,
) -> None:
    messages, answered = Messages(), True

    async def upwards() -> None:
        nonlocal answered
        while data := await reader.read(_CHUNK):
            traffic.round_trips += answered
            answered = False
            traffic.statements += sum(statements(*message) for message in messages.feed(data))
            to_server.write(data)
        to_server.close()

    async def downwards() -> None:
        nonlocal answered
        while data := await from_server.read(_CHUNK):
            answered = True
            writer.write(data)
        writer.close()

    await asyncio.gather(upwards(), downwards(), return_exceptions=True)
