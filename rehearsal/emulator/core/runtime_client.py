"""Client of the container runtime's control API (`rehearsal.runtime.control_api`).

The emulator has services and databases as records only; the container runtime runs them. Without a URL there is no
runtime, and calls do nothing.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

# A call lasts until a deployment is steady or has failed; longer than this takes only a runtime that hangs.
_TIMEOUT_SECONDS = 1800.0


class RuntimeCallError(Exception):
    """The runtime refused a call, or what it was asked to run failed; the message is its reason."""


class RuntimeClient:
    """Calls one runtime."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    def put(self, *path: str, body: Mapping[str, object] | None = None) -> None:
        """Create or update a resource, and wait until it runs.

        Raises:
            RuntimeCallError: It failed.

        """
        self._call("PUT", path, body or {})

    def delete(self, *path: str) -> None:
        """Delete a resource, and wait until it is gone.

        Raises:
            RuntimeCallError: It failed.

        """
        self._call("DELETE", path, None)

    def _call(self, method: str, path: tuple[str, ...], body: Mapping[str, object] | None) -> None:
        if not self._url:
            return
        url = "/".join([self._url.rstrip("/"), *(urllib.parse.quote(part, safe="") for part in path)])
        request = urllib.request.Request(  # noqa: S310 - the runtime's loopback address
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - see above
                pass
        except urllib.error.HTTPError as error:
            raise RuntimeCallError(_reason(error)) from error
        except OSError as error:
            raise RuntimeCallError(f"the container runtime does not respond at {url}: {error}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["reason"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}: {text}"
