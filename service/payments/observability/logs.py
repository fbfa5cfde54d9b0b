"""Logs as one JSON object a line, and what a request found out for its one line.

Saved queries and the runbook (docs/operations.md) name these fields; tests ask the queries of real lines.
"""

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

#: Keys to APIs and signing secrets, ours and processors': callers never log them, but an exception may quote one.
_SECRETS = re.compile(r"\b([sr]k_(?:test|live)_|whsec_)[A-Za-z0-9+/=_-]{8,}")
#: Where PostgreSQL quotes whole rows.
_QUOTED_ROWS = re.compile(r"(?m)^DETAIL: .*$")
#: What a log record has by itself; everything else in it was given with ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


#: Facts about the request that this thread serves; none outside of one.
_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


def begin_facts() -> None:
    """Start anew: what is noted from here on belongs to the request that now begins."""
    _facts.set({})


def note(**facts: Any) -> None:
    """Add fields to the line of the request being served; without :func:`begin_facts`, nothing is kept.

    Identifiers, states and codes of ours only: never what a client sent.
    """
    found = _facts.get()
    if found is not None:
        found.update(facts)


def noted() -> dict[str, Any]:
    """The facts so far."""
    return _facts.get() or {}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, and whatever ``extra`` names.

    Callers never pass secrets or card numbers; what looks like a secret all the same is blacked out.
    """

    def __init__(self, *, environment: str, process: str) -> None:
        super().__init__()
        self._fixed = {"environment": environment, "process": process}

    def format(self, record: logging.LogRecord) -> str:
        """``record`` as a line."""
        line: dict[str, Any] = {
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
        return _SECRETS.sub(r"\1(not logged)", json.dumps(line, default=str))


def configure(*, environment: str, process: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger's records to ``stream`` (standard output if not given), one JSON object a line."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(environment=environment, process=process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Alembic and the pool tell at INFO what is only of use to their developers.
    for noisy in ("alembic", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
