"""Load shedding: a limit on concurrent requests. Excess requests are rejected at once instead of queued.

A rejected request was not started and nothing is stored under its Idempotency-Key, so the client can simply resend it.
"""

import threading

from flask import Flask, g, request

from payments.core.problems import TooManyRequests


def register(app: Flask, *, max_in_flight: int, exempt: str) -> None:
    """Let at most ``max_in_flight`` requests of ``app`` run concurrently.

    Args:
        app: The application.
        max_in_flight: The limit.
        exempt: Name of the blueprint of health checks, which are neither counted nor rejected: an overloaded process
            must not be mistaken for a dead one.
    """
    slots = threading.BoundedSemaphore(max_in_flight)

    def acquire() -> None:
        if request.blueprint == exempt:
            return
        if not slots.acquire(blocking=False):
            raise TooManyRequests(
                "The service is at its limit of concurrent requests. Nothing was started: send the request again with "
                "the same Idempotency-Key after the number of seconds in Retry-After."
            )
        g.has_slot = True

    def release(_: BaseException | None) -> None:
        if g.pop("has_slot", False):
            slots.release()

    app.before_request(acquire)
    app.teardown_request(release)
