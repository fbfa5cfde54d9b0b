"""Start a process of the service as `python -m payments` does, in a world that a storm has changed.

`STORM_AHEAD` sets its clock ahead by so many seconds; `STORM_STRIPE` is where its Stripe is; `STORM_LEASE` is for how
many seconds a worker claims a webhook message (a killed worker's messages wait for that long).
"""

import datetime as dt
import functools
import os
import sys
import time
from types import ModuleType
from typing import Self


def _set_clock_ahead(seconds: float) -> None:
    """Replace the clocks before anything of the service is imported, since modules keep what they import."""
    real_time, real_time_ns = time.time, time.time_ns

    class Ahead(dt.datetime):
        __slots__ = ()  # as large as the original, which extension modules check

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(real_time() + seconds, tz)

    _replace(time, "time", lambda: real_time() + seconds)
    _replace(time, "time_ns", lambda: real_time_ns() + int(seconds * 10**9))
    _replace(dt, "datetime", Ahead)


def _replace(module: ModuleType, name: str, value: object) -> None:
    setattr(module, name, value)


def main() -> None:
    """Change the world, then run the command."""
    if ahead := float(os.environ.get("STORM_AHEAD", "0")):
        _set_clock_ahead(ahead)
    from payments.cli.main import main as run
    from payments.processors import stripe as processor
    from payments.services import webhook_delivery

    webhook_delivery.LEASE = dt.timedelta(seconds=float(os.environ["STORM_LEASE"]))
    if stripe := os.environ.get("STORM_STRIPE"):
        _replace(processor, "StripeProcessor", functools.partial(processor.StripeProcessor, base_url=stripe))
    sys.exit(run())


if __name__ == "__main__":
    main()
