"""`python -m payments.healthcheck`: whether the container's process is well. Imports little, since it runs often.

The api is asked over HTTPS; a worker, which listens nowhere, keeps a file fresh.
"""

import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import gettempdir

#: Seconds; the worker touches the file every second.
MAX_AGE = 30.0
_TIMEOUT = 4.0


def main() -> int:
    """0 if well, 1 if not."""
    heartbeat = Path(gettempdir()) / "payments-worker-heartbeat"
    if heartbeat.exists():
        return 0 if time.time() - heartbeat.stat().st_mtime < MAX_AGE else 1
    host = os.environ.get("BIND_HOST", "127.0.0.1")
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  # compared, not bound
    url = f"https://{host}:{os.environ.get('PORT') or '8443'}/healthz"
    # The certificate was made by this very task at its start: nobody could vouch for it.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT, context=context) as answer:  # https only
            return 0 if answer.status == 200 else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
