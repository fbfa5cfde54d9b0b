"""Logs as one JSON object a line."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

#: What a log record has by itself; everything else in it was given with ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, and whatever ``extra`` names. Callers never pass secrets or card numbers."""

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
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


def configure(*, environment: str, process: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger's records to ``stream`` (standard output if not given), one JSON object a line."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(environment=environment, process=process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Alembic and the pool tell at INFO what is only of use to their developers.
    for noisy in ("alembic", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
