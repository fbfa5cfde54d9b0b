"""The worker's loops: each does its kind of work until there is none, then waits."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from payments.repositories.database import DatabaseUnavailable
from payments.worker.watchdog import Watchdog

_log = logging.getLogger("payments.worker")
#: Seconds to wait after a failure, so that a database that is down is not hammered.
_AFTER_FAILURE = 1.0


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Work to do again and again."""

    name: str
    #: Seconds to wait when there was nothing to do.
    interval: float
    #: Does one batch; answers whether there may be more.
    run: Callable[[], bool]
    #: Waits for what ``run`` has started and not finished.
    close: Callable[[], None] = lambda: None


def run_loop(loop: Loop, stop: threading.Event, watchdog: Watchdog) -> None:
    """Run ``loop`` until ``stop`` is set, then close it. ``watchdog`` is told when it is inside its ``run()``.

    It returns before ``stop`` is set only when no loop could go on: the worker takes that for its own end.
    """
    while not stop.is_set():
        try:
            with watchdog.running(loop.name):
                more = loop.run()
            wait = 0.0 if more else loop.interval
        except (psycopg.Error, DatabaseUnavailable) as error:
            _log.warning("database not available", extra={"loop": loop.name, "reason": str(error)})
            wait = _AFTER_FAILURE
        except Exception:  # noqa: BLE001  # see below
            # A mistake in one loop must not end the others; it is logged, and the loop goes on.
            _log.exception("unexpected error", extra={"loop": loop.name})
            wait = _AFTER_FAILURE
        except BaseException:  # noqa: BLE001  # a thread swallows SystemExit, and says the rest where no log reads it
            _log.critical("the loop ends", exc_info=True, extra={"loop": loop.name})
            return
        stop.wait(wait)
    loop.close()
