"""Load shedding: a limit on concurrent requests. Excess requests are rejected at once instead of queued.

A rejected request was not started and nothing is stored under its Idempotency-Key, so the client can simply resend it.
"""

import threading

from flask import Flask, g, request

from payments.core.problems import TooManyRequests

#: Readiness checks at a time. Each may wait for the database as long as a request, and anybody may send them.
_READINESS_CHECKS = 8


def register(app: Flask, *, max_in_flight: int, liveness: str, readiness: str) -> None:
    """Let at most ``max_in_flight`` requests of ``app`` run concurrently.

    Args:
        app: The application.
        max_in_flight: The limit.
        liveness: Endpoint that is neither counted nor rejected: an overloaded process must not be mistaken for a dead
            one. It waits for nothing.
        readiness: Endpoint that has slots of its own.
    """
    slots = threading.BoundedSemaphore(max_in_flight)
    readiness_slots = threading.BoundedSemaphore(_READINESS_CHECKS)

    def acquire() -> None:
        if request.endpoint == liveness:
            return
        taken = readiness_slots if request.endpoint == readiness else slots
        if not taken.acquire(blocking=False):
            raise TooManyRequests(
                "The service is at its limit of concurrent requests. Nothing was started: send the request again with "
                "the same Idempotency-Key after the number of seconds in Retry-After."
            )
        g.slot = taken

    def release(_: BaseException | None) -> None:
        taken = g.pop("slot", None)
        if taken is not None:
            taken.release()

    app.before_request(acquire)
    app.teardown_request(release)
