"""The `api` process: the application, and what runs beside it."""

import atexit
import logging
import os
import signal
import sys
import threading
import time

import psycopg

from payments.core.settings import Settings
from payments.core.time_scale import scaled
from payments.repositories import api_keys
from payments.repositories.database import DatabaseUnavailable, fatal_conditions
from payments.server.gunicorn_server import end_when
from payments.services.context import Context
from payments.services.wiring import make_context
from payments.web.app import create_app
from payments.web.http import auth
from payments.web.openapi.api import Api

_log = logging.getLogger("payments.api")
#: Seconds between writes of what is only kept in memory: metrics, and when keys were used.
_FLUSH_SECONDS = 30.0


def make_app(settings: Settings) -> Api:
    """The application of a serving process."""
    context = make_context(settings, name="api")
    app = create_app(context, settings)
    for event, reason in fatal_conditions(context.database):
        end_when(event, reason, lambda: os.kill(os.getppid(), signal.SIGTERM))
    atexit.register(flush, app, context)  # once more after the drain
    interval = scaled(_FLUSH_SECONDS, settings.time_scale)
    threading.Thread(target=_flush_for_ever, args=(app, context, interval), name="flush", daemon=True).start()
    return app


def _flush_for_ever(app: Api, context: Context, interval: float) -> None:
    while True:
        time.sleep(interval)
        try:
            flush(app, context)
        except Exception:  # noqa: BLE001  # logged with its traceback
            # Without this thread metrics would stop, and alarms take silence for health.
            _log.exception("not flushed")


def flush(app: Api, context: Context) -> None:
    """Write what is only kept in memory. A database that is down costs the times of use, not the thread."""
    context.metrics.flush(_write_line)
    with app.app_context():
        used = auth.authenticator().take_used()
    if not used:
        return
    try:
        with context.database.transaction() as tx:
            api_keys.write_last_used(tx, used)
            tx.commit()
    except (psycopg.Error, DatabaseUnavailable):
        _log.warning("times of use not written", exc_info=True)


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
