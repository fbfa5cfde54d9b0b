"""Logs as one JSON object per line, and the fields that a request collects for its line.

Saved queries and the runbook (docs/operations.md) use these fields; tests run the queries on real lines.
"""

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

#: API keys and signing secrets, ours and the processors'. Callers never log them, but an exception may quote one.
_SECRETS = re.compile(r"\b([sr]k_(?:test|live)_|whsec_)[A-Za-z0-9+/=_-]{8,}")
#: What is in each of them, found in a fraction of the time.
_SIGNS_OF_SECRETS = ("k_test_", "k_live_", "whsec_")
#: Where PostgreSQL quotes whole rows.
_QUOTED_ROWS = re.compile(r"(?m)^DETAIL: .*$")
#: Attributes of every log record; all others come from ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_JSON = json.JSONEncoder(default=str)

#: Fields of the request that this thread serves; None outside a request. Values are whatever JSON can hold.
_fields: ContextVar[dict[str, object] | None] = ContextVar("fields", default=None)


def begin_request() -> None:
    """Drop the fields of the previous request."""
    _fields.set({})


def annotate(**fields: object) -> None:
    """Add fields to the log line of the current request; ignored outside a request.

    Pass only our own identifiers, states and codes, never what a client sent.
    """
    current = _fields.get()
    if current is not None:
        current.update(fields)


def request_fields() -> dict[str, object]:
    """Return the fields of the current request."""
    return _fields.get() or {}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, and the fields in ``extra``.

    Callers never pass secrets or card numbers; whatever still looks like a secret is redacted.
    """

    def __init__(self, *, environment: str, process: str) -> None:
        super().__init__()
        self._fixed = {"environment": environment, "process": process}

    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._fixed,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            trace = "".join(traceback.format_exception(*record.exc_info))
            line["exception"] = _QUOTED_ROWS.sub("DETAIL: (not logged)", trace)
        text = _JSON.encode(line)
        return _SECRETS.sub(r"\1(not logged)", text) if any(sign in text for sign in _SIGNS_OF_SECRETS) else text


def configure(*, environment: str, process: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logs to ``stream`` (default: standard output), one JSON object per line."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(environment=environment, process=process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # At INFO, these log what only their own developers need.
    for noisy in ("alembic", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
