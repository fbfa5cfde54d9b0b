"""Load shedding: a limit on concurrent requests. Excess requests are rejected at once instead of queued.

A rejected request was not started and nothing is stored under its Idempotency-Key, so the client can simply resend it.
Requests that wait for a processor, which may hang, cannot take all slots: whatever needs no processor is still served.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, g, request

from payments.core.problems import TooManyRequests

#: Readiness checks at a time. Each may wait for the database as long as a request, and anybody may send them.
_READINESS_CHECKS = 8
#: Of how many slots one is kept from requests that wait for a processor.
_KEPT_ONE_OF = 4
_View = TypeVar("_View", bound=Callable[..., Any])
_ATTRIBUTE = "__waits_for_processor__"


def waits_for_processor(view: _View) -> _View:
    """Declare that a view calls a processor."""
    setattr(view, _ATTRIBUTE, True)
    return view


def register(app: Flask, *, max_in_flight: int, liveness: str, readiness: str) -> None:
    """Let at most ``max_in_flight`` requests of ``app`` run concurrently, three quarters of them at a processor.

    Args:
        app: The application.
        max_in_flight: The limit.
        liveness: Endpoint that is neither counted nor rejected: an overloaded process must not be mistaken for a dead
            one. It waits for nothing.
        readiness: Endpoint that has slots of its own.
    """
    slots = threading.BoundedSemaphore(max_in_flight)
    processor_slots = threading.BoundedSemaphore(max_in_flight - max_in_flight // _KEPT_ONE_OF)
    special: dict[str, tuple[threading.Semaphore, ...]] = {
        liveness: (),
        readiness: (threading.BoundedSemaphore(_READINESS_CHECKS),),
    }

    def acquire() -> None:
        view = app.view_functions.get(request.endpoint or "")
        usual = (processor_slots, slots) if hasattr(view, _ATTRIBUTE) else (slots,)
        g.slots = []
        for slot in special.get(request.endpoint or "", usual):
            if not slot.acquire(blocking=False):
                raise TooManyRequests(
                    "The service is at its limit of concurrent requests. Nothing was started: send the request again "
                    "with the same Idempotency-Key after the number of seconds in Retry-After."
                )
            g.slots.append(slot)

    def release(_: BaseException | None) -> None:
        for slot in g.pop("slots", ()):
            slot.release()

    app.before_request(acquire)
    app.teardown_request(release)
