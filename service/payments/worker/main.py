"""The `worker` process: runs every loop on a thread of its own, and supervises them."""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from payments.core.time_scale import scaled
from payments.repositories.database import EXIT_DATABASE_UNUSABLE, fatal_conditions
from payments.services.context import Context
from payments.worker.heartbeat import INTERVAL, Heartbeat, heartbeat_file
from payments.worker.loops import run_loop
from payments.worker.schedule import all_loops, flush_metrics
from payments.worker.watchdog import Watchdog

_log = logging.getLogger("payments.worker")
#: Seconds after which a run counts as hanging. A run is one batch, and none of its statements takes longer than 5 s.
_LONGEST_RUN = 120.0
#: The process is broken, and only a new one can recover.
_EXIT_BROKEN = 4
#: Seconds that the loops get to finish after SIGTERM: more than a processor's deadline or a webhook takes, less than
#: the container's stop time-out. Others resume what is cut off, once its lease has expired.
_DRAIN = 25.0


def run(context: Context, stop: threading.Event, *, time_scale: float = 1.0) -> int:
    """Run every loop until ``stop`` is set or the process has to be replaced; returns the exit code."""
    watchdog = Watchdog(limit=scaled(_LONGEST_RUN, time_scale))
    heartbeat = Heartbeat(heartbeat_file(os.environ))
    try:
        heartbeat.clear()
        heartbeat.beat()
    except OSError as error:
        extra = {"file": str(heartbeat.file), "reason": str(error)}
        _log.error("the heartbeat file of the health check cannot be written; mount a writable /tmp", extra=extra)
        return _EXIT_BROKEN
    loops = [replace(loop, interval=scaled(loop.interval, time_scale)) for loop in all_loops(context)]
    # Daemon threads, since one that hangs must not keep the process alive.
    threads = {
        loop.name: threading.Thread(target=run_loop, args=(loop, stop, watchdog), name=loop.name, daemon=True)
        for loop in loops
    }
    for thread in threads.values():
        thread.start()
    _log.info("worker started", extra={"loops": list(threads)})
    code = _supervise(context, stop, watchdog, heartbeat, threads, scaled(INTERVAL, time_scale))
    stop.set()
    for loop in loops:
        if loop.due is not None:
            loop.due.set()
    _drain(threads)
    flush_metrics(context)
    _log.info("worker stopped")
    return code


def _supervise(
    context: Context,
    stop: threading.Event,
    watchdog: Watchdog,
    heartbeat: Heartbeat,
    threads: Mapping[str, threading.Thread],
    interval: float,
) -> int:
    """Beat while no loop hangs, until ``stop`` is set or the process has to be replaced; returns the exit code."""
    reported: Sequence[str] = ()
    while not stop.wait(interval):
        for event, reason in fatal_conditions(context.database):
            if event.is_set():
                _log.error(reason)
                return EXIT_DATABASE_UNUSABLE
        ended = [name for name, thread in threads.items() if not thread.is_alive()]
        if ended and not stop.is_set():
            _log.error("loops have ended; exiting to be replaced", extra={"loops": ended})
            return _EXIT_BROKEN
        hanging = watchdog.hanging()
        if hanging and hanging != reported:
            _log.error("loops hang", extra={"loops": hanging})
        elif reported and not hanging:
            _log.warning("loops have recovered", extra={"loops": reported})
        reported = hanging
        if not hanging:
            _beat(heartbeat)
    return 0


def _beat(heartbeat: Heartbeat) -> None:
    """Beat, and leave a file that cannot be written to the judgement of the health check."""
    try:
        heartbeat.beat()
    except OSError as error:
        _log.warning("heartbeat not written", extra={"file": str(heartbeat.file), "reason": str(error)})


def _drain(threads: Mapping[str, threading.Thread]) -> None:
    end = time.monotonic() + _DRAIN
    for thread in threads.values():
        thread.join(max(0.0, end - time.monotonic()))
    unfinished = [name for name, thread in threads.items() if thread.is_alive()]
    if unfinished:
        _log.warning("loops did not finish in time", extra={"loops": unfinished})
