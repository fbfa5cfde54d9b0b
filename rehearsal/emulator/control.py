"""The compute runtime's control API, as the emulator's handlers call it.

The emulator knows services and databases only as records; the compute runtime runs them. Without a `CONTROL_URL`
there is no runtime, and every call does nothing.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

_SECONDS = 1800.0
"""A call lasts until a deployment is steady or has failed; only a runtime that hangs takes longer than this."""


class ControlError(Exception):
    """The runtime refused, or what it was asked to run failed; the message is its reason."""


class Control:
    """Calls one runtime."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    def put(self, *path: str, body: Mapping[str, object] | None = None) -> None:
        """Ask for `path` to be as `body` says and wait until it is; `ControlError` when it cannot be."""
        self._call("PUT", path, body or {})

    def delete(self, *path: str) -> None:
        """Ask for `path` to be gone and wait until it is."""
        self._call("DELETE", path, None)

    def _call(self, method: str, path: tuple[str, ...], body: Mapping[str, object] | None) -> None:
        if not self._url:
            return
        url = "/".join([self._url.rstrip("/"), *(urllib.parse.quote(part, safe="") for part in path)])
        request = urllib.request.Request(  # noqa: S310  our own loopback address
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
                pass
        except urllib.error.HTTPError as error:
            raise ControlError(_reason(error)) from error
        except OSError as error:
            raise ControlError(f"the compute runtime does not answer at {url}: {error}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["reason"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}: {text}"
