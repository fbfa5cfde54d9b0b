"""`python -m payments.healthcheck api|worker`: whether the container's process is well, by exit code.

The api is asked over HTTPS; a worker, which listens nowhere, keeps a file fresh. Runs every few seconds on part of
a processor: it imports what its question needs, and nothing of the service's packages.
"""

import os
import sys
from collections.abc import Sequence

from payments.core import time_scale
from payments.worker.heartbeat import MAX_AGE, Heartbeat, heartbeat_file

#: Seconds, for connecting and for the answer; below the time-out of the container's health check.
_TIMEOUT = 4.0
_WELL, _UNWELL, _WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """0 if well, 1 if not, 2 for another argument than `api` or `worker`."""
    match arguments:
        case ["api"]:
            well = _api_is_well()
        case ["worker"]:
            well = _worker_is_well()
        case _:
            sys.stderr.write("usage: python -m payments.healthcheck api|worker\n")
            return _WRONG_USE
    return _WELL if well else _UNWELL


def _worker_is_well() -> bool:
    heartbeat = Heartbeat(heartbeat_file(os.environ))
    return heartbeat.is_fresh(time_scale.scaled(MAX_AGE, time_scale.read(os.environ)))


def _api_is_well() -> bool:
    import ssl
    from http.client import HTTPException, HTTPSConnection

    host = os.environ.get("BIND_HOST", "127.0.0.1")
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  # compared, not bound
    # The certificate was made by this very task at its start: nobody could vouch for it.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = HTTPSConnection(host, int(os.environ.get("PORT") or "8443"), timeout=_TIMEOUT, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
