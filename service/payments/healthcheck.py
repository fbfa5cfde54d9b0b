"""`python -m payments.healthcheck api|worker`: report by exit code whether the container's process is healthy.

It asks the api over HTTPS and reads the file that the worker, which does not listen, keeps fresh. It runs every few
seconds on a fraction of a CPU, so it imports only what it needs.
"""

import os
import sys
from collections.abc import Sequence

from payments.core.time_scale import scaled
from payments.worker.heartbeat import MAX_AGE, Heartbeat, heartbeat_file

#: Seconds, for connecting and for the response; below the time-out of the container's health check.
_TIMEOUT = 4.0
_HEALTHY, _UNHEALTHY, _USAGE_ERROR = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Return 0 if healthy, 1 if not, 2 unless called with `api` or `worker`."""
    match arguments:
        case ["api"]:
            healthy = _api_is_healthy()
        case ["worker"]:
            healthy = _worker_is_healthy()
        case _:
            sys.stderr.write("usage: python -m payments.healthcheck api|worker\n")
            return _USAGE_ERROR
    return _HEALTHY if healthy else _UNHEALTHY


def _worker_is_healthy() -> bool:
    time_scale = float(os.environ.get("TIME_SCALE") or 1)
    return Heartbeat(heartbeat_file(os.environ)).is_fresh(scaled(MAX_AGE, time_scale))


def _api_is_healthy() -> bool:
    import ssl
    from http.client import HTTPException, HTTPSConnection

    host = os.environ.get("BIND_HOST", "127.0.0.1")
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104 - compared, not bound
    # The task made the certificate itself at its start, so there is no authority to verify it against.
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
