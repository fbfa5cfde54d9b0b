"""The `worker` process."""

import logging
import sys
import threading
import time
from pathlib import Path
from tempfile import gettempdir

from payments.services import housekeeping, ledger_books
from payments.services.context import Context
from payments.services.recovery import Recoverer, end_expired_authorizations
from payments.settings import Settings
from payments.worker.loops import Loop, run_loop
from payments.worker.webhooks import webhook_loops

_log = logging.getLogger("payments.worker")
#: Touched while every loop goes round; `payments.healthcheck` looks at its age.
HEARTBEAT = Path(gettempdir()) / "payments-worker-heartbeat"
#: Seconds; a loop that has not come round for longer hangs.
_LONGEST_ROUND = 120.0
_EXIT_REFUSED = 3
#: Seconds that loops get to finish what they began after SIGTERM: more than a processor's deadline or a webhook takes,
#: less than the container's stop time-out. What is cut off is taken over by lease.
_DRAIN = 25.0


def loops(context: Context, settings: Settings) -> list[Loop]:
    """Everything that the worker does."""
    return [
        *(_recovery(context, processor) for processor in context.processors),
        Loop(name="authorizations", interval=30.0, run=lambda: end_expired_authorizations(context)),
        Loop(name="ledger_rollup", interval=5.0, run=lambda: ledger_books.roll_up(context.database)),
        Loop(name="ledger_sealer", interval=5.0, run=lambda: ledger_books.seal(context.database)),
        Loop(name="idempotency_keys", interval=60.0, run=lambda: housekeeping.delete_expired_keys(context)),
        Loop(name="backlog", interval=15.0, run=lambda: housekeeping.measure_backlog(context)),
        Loop(name="metrics", interval=30.0, run=lambda: _flush(context)),
        *webhook_loops(context, settings),
    ]


def _recovery(context: Context, processor: str) -> Loop:
    """A loop for each processor: one that hangs keeps no other's attempts waiting."""
    recoverer = Recoverer(context, processor)
    return Loop(name=f"recovery_{processor}", interval=0.25, run=recoverer.run, close=recoverer.close)


def run(context: Context, settings: Settings, stop: threading.Event) -> int:
    """Run every loop in a thread of its own until ``stop`` is set; answers the exit code."""
    beats: dict[str, float] = {}
    found = loops(context, settings)
    threads = [
        threading.Thread(target=run_loop, args=(loop, stop, lambda name: beats.update({name: time.monotonic()})))
        for loop in found
    ]
    beats.update({loop.name: time.monotonic() for loop in found})
    for thread in threads:
        thread.start()
    HEARTBEAT.touch()
    _log.info("worker started", extra={"loops": [loop.name for loop in found]})
    while not stop.wait(1.0):
        if context.database.credentials_refused.is_set():
            _log.error("the database refuses the credentials of this process, which ends to be replaced")
            stop.set()
        hanging = [name for name, at in beats.items() if time.monotonic() - at > _LONGEST_ROUND]
        if not hanging:
            HEARTBEAT.touch()
        else:
            _log.error("loops hang", extra={"loops": hanging})
    end = time.monotonic() + _DRAIN
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    unfinished = [loop.name for loop, thread in zip(found, threads, strict=True) if thread.is_alive()]
    if unfinished:
        _log.warning("loops did not finish in time", extra={"loops": unfinished})
    _flush(context)
    _log.info("worker stopped")
    return _EXIT_REFUSED if context.database.credentials_refused.is_set() else 0


def _flush(context: Context) -> bool:
    context.metrics.flush(lambda text: sys.stdout.write(text + "\n"))
    sys.stdout.flush()
    return False
