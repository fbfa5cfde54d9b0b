"""The HTTPS server of the `api` process: asyncio, llhttp and threads (docs/decisions/0315-own-connections.md)."""

import asyncio
import logging
import resource
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from payments.core.settings import Settings
from payments.server.certificate import self_signed
from payments.server.connection import Deadlines
from payments.server.listener import Limits, Listener
from payments.server.messages import Request, Response
from payments.server.wsgi import respond

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger("payments.server")
DEADLINES = Deadlines()
LIMITS = Limits()
#: Seconds that requests in flight get after SIGTERM: more than a request takes (processor deadline and two
#: transactions) unless the database hangs too, less than the container's stop time-out.
DRAIN = 25
#: Seconds after that, or after the last response, for connections to close.
_LINGER = 1
_POLL = 0.05
#: Threads beyond those for requests in flight: for health checks, and to reject excess requests without delay.
SPARE_THREADS = 16
#: Descriptors for everything but clients: the database's connections come on top.
_OWN_DESCRIPTORS = 64
EXIT_CANNOT_LISTEN = 1


def serve(settings: Settings, start_app: "Callable[[], WSGIApplication]") -> int:
    """Serve until SIGTERM, then drain.

    Threads of requests that outlast the drain are left behind: the caller ends the process without joining them.

    Args:
        settings: Where to listen, and how many requests are served at once.
        start_app: Returns the application; called once SIGTERM is handled, so that the application may send it.

    Returns:
        The exit code.
    """
    return asyncio.run(_serve(settings, start_app))


async def _serve(settings: Settings, start_app: "Callable[[], WSGIApplication]") -> int:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    app = start_app()
    try:
        listening = _listening(settings)
    except OSError as error:
        _log.error("cannot listen on %s port %d: %s", settings.bind_host, settings.port, error.strerror)
        return EXIT_CANNOT_LISTEN
    threads = ThreadPoolExecutor(settings.max_in_flight + SPARE_THREADS, thread_name_prefix="request")

    def start(request: Request, peer: str, answer: Callable[[Response], None]) -> None:
        # Not run_in_executor, whose chain of futures costs more than the hand-over: `respond` raises nothing.
        threads.submit(lambda: loop.call_soon_threadsafe(answer, respond(app, request, peer, settings.port)))

    listener = Listener(
        listening, _ssl_context(settings.bind_host), deadlines=DEADLINES, limits=_limits(settings), serve=start
    )
    _log.info("listening on %s port %d", settings.bind_host, listening.getsockname()[1])
    await stopped.wait()
    _log.info("draining")
    await listener.drain()
    if not await _wait_while(listener.has_requests, DRAIN):
        _log.warning("requests did not finish in time")
    await _wait_while(listener.has_connections, _LINGER)
    return 0


async def _wait_while(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``condition`` ends; return False if it has not after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            while condition():  # noqa: ASYNC110 - once in the life of a process, and many connections decide it
                await asyncio.sleep(_POLL)
    except TimeoutError:
        return False
    return True


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.bind_host else socket.AF_INET
    return socket.create_server((settings.bind_host, settings.port), family=family)


def _limits(settings: Settings) -> Limits:
    """Return the limits, lowered to what the process's limit of descriptors leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMITS.total + _OWN_DESCRIPTORS + 2 * settings.db_pool_size
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    total = min(LIMITS.total, max(soft - _OWN_DESCRIPTORS - 2 * settings.db_pool_size, 2))
    return Limits(total=total, per_address=min(LIMITS.per_address, total // 2))


def _ssl_context(host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    with self_signed(host) as files:
        context.load_cert_chain(files.certificate, files.key)
    return context


def end_when(event: threading.Event, reason: str, end: Callable[[], None]) -> None:
    """Log ``reason`` and call ``end`` once ``event`` is set: ECS replaces a process that cannot use the database."""

    def wait() -> None:
        event.wait()
        _log.error(reason)
        end()

    threading.Thread(target=wait, name="end", daemon=True).start()
