"""The worker's loops: each does its kind of work until there is none left, then waits."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from payments.repositories.database import DatabaseUnavailable
from payments.worker.watchdog import Watchdog

_log = logging.getLogger("payments.worker")
#: Seconds to wait after a failure, so that a database that is down is not flooded.
_AFTER_FAILURE = 1.0


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Work to be repeated."""

    name: str
    #: Seconds to wait when there was nothing to do.
    interval: float
    #: Set when there is something to do, which ends the wait: a queue is served when something is due.
    due: threading.Event | None = None
    #: Processes one batch; returns whether there may be more.
    run: Callable[[], bool]
    #: Waits for what ``run`` has started and not finished.
    close: Callable[[], None] = lambda: None


def run_loop(loop: Loop, stop: threading.Event, watchdog: Watchdog) -> None:
    """Run ``loop`` until ``stop`` is set, then close it. ``watchdog`` observes the time spent inside ``run()``.

    Whoever sets ``stop`` ends the wait for a queue by ``loop.due``.

    Returning before ``stop`` is set means that the loop cannot continue: the worker exits then.
    """
    while not stop.is_set():
        try:
            with watchdog.running(loop.name):
                more = loop.run()
            if not more and loop.due is not None:
                loop.due.wait(loop.interval)
                loop.due.clear()  # before what is due is looked at, so that nothing is missed
                continue
            delay = 0.0 if more else loop.interval
        except (psycopg.Error, DatabaseUnavailable) as error:
            _log.warning("database not available", extra={"loop": loop.name, "reason": str(error)})
            delay = _AFTER_FAILURE
        except Exception:  # noqa: BLE001 - logged; a bug in one loop must not end it, or the others
            _log.exception("unexpected error", extra={"loop": loop.name})
            delay = _AFTER_FAILURE
        except BaseException:  # noqa: BLE001 - a thread would swallow SystemExit, and print the rest outside the log
            _log.critical("the loop ends", exc_info=True, extra={"loop": loop.name})
            return
        stop.wait(delay)
    loop.close()
