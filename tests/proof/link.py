"""A network link that can fail: a TCP proxy on loopback, in front of one port or Unix socket."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, TypeVar

_CHUNK = 65_536
#: Seconds by which a slow link delays every chunk.
_DELAY = 0.15
_T = TypeVar("_T")


class Weather(StrEnum):
    """How a link behaves."""

    OPEN = "open"
    #: Open connections are reset, and new ones as well.
    CUT = "cut"
    #: Nothing arrives and nobody is told: what a lost route looks like.
    SILENT = "silent"
    #: Requests arrive, and their answers are lost: what a COMMIT without an answer looks like.
    MUTE = "mute"
    SLOW = "slow"


class Network:
    """The event loop, in a thread of its own, that every link of a storm runs on."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._links: list[Link] = []

    def link(self, target: int | str) -> "Link":
        """Open a link to a port on loopback, or to a Unix socket."""
        link = Link(self, target)
        link.port = self.call(link.listen())
        self._links.append(link)
        return link

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:  # Any: a coroutine neither yields nor takes anything of ours
        """Run `work` on the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        """Close every link, and end the loop."""
        for link in self._links:
            self.call(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class _Connection:
    """One connection through a link: two sockets, and whether an answer was lost on it."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.lost_answers = False

    def reset(self) -> None:
        for writer in (self.near, self.far):
            writer.transport.abort()


class Link:
    """A link; made by :meth:`Network.link`."""

    def __init__(self, network: Network, target: int | str) -> None:
        self.port = 0
        self._network = network
        self._target = target
        self._weather = Weather.OPEN
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def set(self, weather: Weather) -> None:
        """Change the weather."""
        self._network.call(self._set(weather))

    def aim(self, target: int | str) -> None:
        """Lead new connections elsewhere, as a name does that is given another address."""
        self._target = target

    async def _set(self, weather: Weather) -> None:
        self._weather = weather
        if weather is Weather.SILENT:
            self._flowing.clear()
        else:
            self._flowing.set()
        for connection in list(self._connections):
            if weather is Weather.CUT or (weather is Weather.OPEN and connection.lost_answers):
                connection.reset()

    async def listen(self) -> int:
        """Accept connections; returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End every connection."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, near)
        except (OSError, asyncio.CancelledError):
            pass  # the other side is down, or the storm is over
        finally:
            near.transport.abort()
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        if self._weather is Weather.CUT:
            return
        if isinstance(self._target, str):
            far_reader, far = await asyncio.open_unix_connection(self._target)
        else:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
        connection = _Connection(near, far)
        self._connections.add(connection)
        try:
            up = self._pump(reader, far, lambda: False)
            down = self._pump(far_reader, near, lambda: self._loses(connection))
            await asyncio.gather(up, down)
        finally:
            self._connections.discard(connection)
            far.transport.abort()

    def _loses(self, connection: _Connection) -> bool:
        if self._weather is Weather.MUTE:
            connection.lost_answers = True
        return connection.lost_answers

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, loses: Callable[[], bool]) -> None:
        """Forward one direction until it ends; an end is forwarded as well."""
        try:
            while data := await source.read(_CHUNK):
                await self._flowing.wait()
                if self._weather is Weather.SLOW:
                    await asyncio.sleep(_DELAY)
                if not loses():
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass  # reset
        with contextlib.suppress(OSError, RuntimeError):
            sink.close()
