"""The HTTPS server of the `api` process: gunicorn with threads (docs/decisions/0302-wsgi-server.md)."""

import logging
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.config import Config

from payments.core.settings import Settings
from payments.server.certificate import create_self_signed
from payments.server.problem_worker import MAX_FIELDS, MAX_LINE, ProblemWorker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger("payments.server")
#: Seconds to keep an idle connection open: longer than the load balancer does (60 s), so that it never sends a request
#: into a connection that is being closed.
KEEP_ALIVE = 75
#: Seconds that requests in flight get after SIGTERM: more than a request can take (processor deadline and two
#: transactions), less than the container's stop time-out.
DRAIN = 25
#: Threads beyond those for requests in flight: for health checks, and to reject excess requests without delay.
SPARE_THREADS = 16
_BACKLOG = 512
_CONNECTIONS = 1000


class _Server(BaseApplication):
    """gunicorn, configured by the service's settings instead of files."""

    def __init__(self, settings: Settings, make_app: "Callable[[], WSGIApplication]") -> None:
        self._settings = settings
        self._make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        """Set every option that differs from gunicorn's default."""
        settings, config = self._settings, self.cfg
        files = create_self_signed(settings.bind_host)
        options: dict[str, object] = {
            "bind": f"{settings.bind_host}:{settings.port}",
            "workers": 1,  # a task has at most one CPU; scaling adds tasks
            "worker_class": ProblemWorker,
            "threads": settings.max_in_flight + SPARE_THREADS,
            "worker_connections": _CONNECTIONS,
            "backlog": _BACKLOG,
            "keepalive": KEEP_ALIVE,
            "graceful_timeout": DRAIN,
            "timeout": 60,
            "certfile": str(files.certificate),
            "keyfile": str(files.key),
            "ssl_context": _ssl_context,
            "limit_request_line": MAX_LINE,
            "limit_request_fields": MAX_FIELDS,
            "limit_request_field_size": MAX_LINE,
            "control_socket_disable": True,
            "logger_class": f"{__name__}.{Logger.__name__}",
            "forwarded_allow_ips": "",
        }
        for name, value in options.items():
            config.set(name, value)

    def load(self) -> Any:  # Any: gunicorn also takes ASGI applications, in types of its own
        """Create the application in the worker process: threads and connections do not survive a fork."""
        return self._make_app()


def _ssl_context(_: Config, make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = make_default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Logger:
    """Forwards gunicorn's messages to our log. Keeps no access log, since the application does."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.error_log = _log
        for level in ("critical", "error", "warning", "info", "debug", "exception"):
            setattr(self, level, getattr(_log, level))

    def log(self, level: int, message: str, *args: Any, **kwargs: Any) -> None:  # Any: as in logging.Logger.log
        """Log at ``level``."""
        _log.log(level, message, *args, **kwargs)

    def access(self, *_: object) -> None:
        """Do nothing: the application keeps the access log."""

    def reopen_files(self) -> None:
        """Do nothing: logs go to standard output."""

    def close_on_exec(self) -> None:
        """Do nothing: logs go to standard output."""


def serve(settings: Settings, make_app: "Callable[[], WSGIApplication]") -> None:
    """Serve until SIGTERM; ends the process."""
    _Server(settings, make_app).run()


def end_when(event: threading.Event, reason: str, end: Callable[[], None]) -> None:
    """Log ``reason`` and call ``end`` once ``event`` is set: ECS replaces a process that cannot use the database."""

    def wait() -> None:
        event.wait()
        _log.error(reason)
        end()

    threading.Thread(target=wait, name="end", daemon=True).start()
