"""The `api` process: the application and its background thread."""

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
from payments.server.https_server import end_when, serve
from payments.services.context import Context
from payments.services.wiring import make_context
from payments.web.app import create_app
from payments.web.http import auth
from payments.web.openapi.api import Api

_log = logging.getLogger("payments.api")
#: Seconds between writes of what is kept in memory only: metrics, and when keys were last used.
_FLUSH_INTERVAL = 30.0
#: Seconds for which a transaction waits for a server that hangs: more than its statements may take where it does not.
#: One hang ends a request within 30 seconds: at worst the sandbox's journal waits for it (3 s for a connection, then
#: this), and Tx2 as well, which tries twice to get a connection.
_PATIENCE = 10.0


def run(settings: Settings) -> int:
    """Serve until SIGTERM; return the exit code."""
    context = make_context(settings, name="api", patience=_PATIENCE)
    app = create_app(context, settings)
    code = serve(settings, lambda: _start(app, context, settings))
    flush(app, context)  # what the drain left
    return code


def _start(app: Api, context: Context, settings: Settings) -> Api:
    """Start what runs beside the server, which now handles SIGTERM."""
    for event, reason in fatal_conditions(context.database):
        end_when(event, reason, lambda: os.kill(os.getpid(), signal.SIGTERM))
    interval = scaled(_FLUSH_INTERVAL, settings.time_scale)
    threading.Thread(target=_flush_forever, args=(app, context, interval), name="flush", daemon=True).start()
    return app


def _flush_forever(app: Api, context: Context, interval: float) -> None:
    while True:
        time.sleep(interval)
        try:
            flush(app, context)
        except Exception:  # noqa: BLE001 - without this thread metrics would stop, and alarms read silence as health
            _log.exception("flush failed")


def flush(app: Api, context: Context) -> None:
    """Write what is kept in memory only. If the database is down, the times of last use are lost."""
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
        _log.warning("times of last use not written", exc_info=True)


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
