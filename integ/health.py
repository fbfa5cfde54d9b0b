"""Health: the API and its database are up."""

import time

from integ.client import ApiClient, CheckError, expect


def alive(client: ApiClient) -> None:
    """/healthz returns 200."""
    expect(client.call("GET", "/healthz", authenticated=False), 200)


def ready(client: ApiClient) -> None:
    """/readyz returns 200: the database is reachable."""
    expect(client.call("GET", "/readyz", authenticated=False), 200)


def wait_until_alive(client: ApiClient, *, seconds: float, pause: float = 2.0) -> None:
    """Wait until a new deployment is reachable.

    Raises:
        CheckError: it is not, after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            alive(client)
        except CheckError as error:
            if time.monotonic() > deadline:
                raise CheckError(f"not alive after {seconds:g} s: {error}") from error
            time.sleep(pause)
        else:
            client.exchanges.clear()
            return
