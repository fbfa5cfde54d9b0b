"""The `worker` process."""

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from payments.core.time_scale import scaled
from payments.repositories.database import EXIT_REFUSED, endings
from payments.services import housekeeping, ledger_integrity
from payments.services.context import Context
from payments.services.recovery import Recoverer, end_expired_authorizations
from payments.worker.heartbeat import INTERVAL, Heartbeat, heartbeat_file
from payments.worker.loops import Loop, run_loop
from payments.worker.watchdog import Watchdog
from payments.worker.webhooks import webhook_loops

_log = logging.getLogger("payments.worker")
#: Seconds; a loop whose `run` takes longer hangs. Every run is one batch, and none of its statements takes over 5 s.
_LONGEST_RUN = 120.0
#: Something of this process is lost that only a new one has.
_EXIT_BROKEN = 4
#: Seconds that loops get to finish what they began after SIGTERM: more than a processor's deadline or a webhook takes,
#: less than the container's stop time-out. What is cut off is taken over by lease.
_DRAIN = 25.0


def loops(context: Context) -> list[Loop]:
    """Everything that the worker does."""
    return [
        *(_recovery(context, processor) for processor in context.processors),
        Loop(name="authorizations", interval=30.0, run=lambda: end_expired_authorizations(context)),
        Loop(name="ledger_rollup", interval=5.0, run=lambda: ledger_integrity.roll_up(context.database)),
        Loop(name="ledger_sealer", interval=5.0, run=lambda: ledger_integrity.seal(context.database)),
        Loop(name="idempotency_keys", interval=60.0, run=lambda: housekeeping.delete_expired_keys(context)),
        Loop(name="backlog", interval=15.0, run=lambda: housekeeping.measure_backlog(context)),
        Loop(name="metrics", interval=30.0, run=lambda: _flush(context)),
        *webhook_loops(context),
    ]


def _recovery(context: Context, processor: str) -> Loop:
    """A loop for each processor: one that hangs keeps no other's attempts waiting."""
    recoverer = Recoverer(context, processor)
    return Loop(name=f"recovery_{processor}", interval=0.25, run=recoverer.run, close=recoverer.close)


def run(context: Context, stop: threading.Event, *, time_scale: float = 1.0) -> int:
    """Run every loop in a thread of its own until ``stop`` is set or none could go on; answers the exit code."""
    watchdog = Watchdog(limit=scaled(_LONGEST_RUN, time_scale))
    heartbeat = Heartbeat(heartbeat_file(os.environ))
    try:
        heartbeat.clear()
        heartbeat.beat()
    except OSError as error:
        extra = {"file": str(heartbeat.file), "reason": str(error)}
        _log.error("the file that the health check reads cannot be written; mount a writable /tmp", extra=extra)
        return _EXIT_BROKEN
    found = [replace(loop, interval=scaled(loop.interval, time_scale)) for loop in loops(context)]
    # Daemons: one that hangs must not keep the process.
    threads = {
        loop.name: threading.Thread(target=run_loop, args=(loop, stop, watchdog), name=loop.name, daemon=True)
        for loop in found
    }
    for thread in threads.values():
        thread.start()
    _log.info("worker started", extra={"loops": list(threads)})
    code = _supervise(context, stop, watchdog, heartbeat, threads, scaled(INTERVAL, time_scale))
    stop.set()
    _drain(threads)
    _flush(context)
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
    """Beat while every loop is well, until ``stop`` is set or the process must be replaced; answers the exit code."""
    told: Sequence[str] = ()
    while not stop.wait(interval):
        for event, reason in endings(context.database):
            if event.is_set():
                _log.error(reason)
                return EXIT_REFUSED
        ended = [name for name, thread in threads.items() if not thread.is_alive()]
        if ended and not stop.is_set():
            _log.error("loops have ended; this process ends to be replaced", extra={"loops": ended})
            return _EXIT_BROKEN
        hanging = watchdog.hanging()
        if hanging and hanging != told:
            _log.error("loops hang", extra={"loops": hanging})
        elif told and not hanging:
            _log.warning("loops go on", extra={"loops": told})
        told = hanging
        if not hanging:
            _beat(heartbeat)
    return 0


def _beat(heartbeat: Heartbeat) -> None:
    """Leave it to the health check to decide about a file that cannot be written for a while."""
    try:
        heartbeat.beat()
    except OSError as error:
        _log.warning("no sign of life written", extra={"file": str(heartbeat.file), "reason": str(error)})


def _drain(threads: Mapping[str, threading.Thread]) -> None:
    end = time.monotonic() + _DRAIN
    for thread in threads.values():
        thread.join(max(0.0, end - time.monotonic()))
    unfinished = [name for name, thread in threads.items() if thread.is_alive()]
    if unfinished:
        _log.warning("loops did not finish in time", extra={"loops": unfinished})


def _flush(context: Context) -> bool:
    context.metrics.flush(lambda text: sys.stdout.write(text + "\n"))
    sys.stdout.flush()
    return False
