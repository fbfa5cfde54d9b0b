"""A bound on the requests in flight: more are refused at once, not queued until their clients have given up.

What is refused was not begun and nothing is kept under its Idempotency-Key, so that it can simply be sent again.
"""

import threading

from flask import Flask, g, request

from payments.core.problems import TooManyRequests
from payments.web.endpoints import health


def register(app: Flask, *, max_in_flight: int) -> None:
    """Let at most ``max_in_flight`` requests of ``app`` run at once.

    Health checks are neither counted nor refused: an overloaded process must not be taken for a dead one.
    """
    places = threading.BoundedSemaphore(max_in_flight)

    def enter() -> None:
        if request.blueprint == health.api.name:
            return
        if not places.acquire(blocking=False):
            raise TooManyRequests(
                "The service has as many requests as it can take. Nothing was begun: send this one again, with the "
                "same Idempotency-Key, after the seconds that Retry-After says."
            )
        g.has_place = True

    def leave(_: BaseException | None) -> None:
        if g.pop("has_place", False):
            places.release()

    app.before_request(enter)
    app.teardown_request(leave)
