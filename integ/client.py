"""An HTTP client that records its exchanges, so that a failed check can show them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from integ.settings import Settings

#: Seconds to connect, and to wait for a response: longer than the API waits for its processor.
TIMEOUT = (5.0, 30.0)
#: From a load balancer whose targets change, and from a busy API: the request may be repeated.
_TRANSIENT = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_SHOWN_CHARACTERS = 2_000
_SHOWN_HEADERS = ("content-type", "idempotency-replayed", "location", "retry-after", "server")


class CheckError(Exception):
    """A check failed; the message gives the expected and the actual result."""


class SkippedError(Exception):
    """A check does not apply to this environment; the message gives the reason."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request with its response, or with the error if there was none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    response: requests.Response | None = None
    error: str = ""

    def lines(self) -> list[str]:
        """Return the exchange as text: `>` is the request, `<` the response. The key is not shown."""
        sent = [f"> {self.method} {self.url}"]
        sent += [
            f"> {name}: {'(the smoke key)' if name == 'Authorization' else value}"
            for name, value in self.headers.items()
        ]
        if self.body:
            sent.append("> " + _shortened(self.body.decode("utf-8", "replace")))
        if self.response is None:
            return [*sent, f"< no response: {self.error}"]
        response = self.response
        seconds = response.elapsed.total_seconds()
        received = [f"< {response.status_code} {response.reason} after {seconds:.3f} s"]
        received += [f"< {name}: {value}" for name, value in response.headers.items() if name.lower() in _SHOWN_HEADERS]
        return [*sent, *received, "< " + _shortened(response.text)]


@dataclass(kw_only=True)
class ApiClient:
    """Calls the API, and repeats a request after a transient failure."""

    settings: Settings
    attempts: int = 3
    pause: float = 1.0
    exchanges: list[Exchange] = field(default_factory=list)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | bytes | None = None,
        idempotency_key: str | None = None,
        authenticated: bool = True,
    ) -> requests.Response:
        """Send a request to the API and return the response.

        Raises:
            CheckError: there was no response.
        """
        headers = {"Accept": "application/json"}
        if authenticated:
            headers["Authorization"] = f"Bearer {self.settings.api_key}"
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        return self.fetch(method, self.settings.base_url + path, headers=headers, data=data)

    def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: bytes | None = None
    ) -> requests.Response:
        """Send a request to any URL and return the response, without following redirects; see `call`."""
        for remaining in reversed(range(self.attempts)):
            response, error = None, ""
            try:
                with self._session() as session:
                    response = session.request(
                        method, url, headers=dict(headers or {}), data=data, timeout=TIMEOUT, allow_redirects=False
                    )
            except requests.RequestException as failure:
                error = str(failure)
            self.exchanges.append(
                Exchange(method=method, url=url, headers=dict(headers or {}), body=data, response=response, error=error)
            )
            if response is not None and (response.status_code not in _TRANSIENT or not remaining):
                return response
            if remaining:
                time.sleep(self.pause)
        raise CheckError(f"{method} {url} got no response in {self.attempts} attempts: {error}")

    def _session(self) -> requests.Session:
        """Return a session for one request: each is on a new connection, which the load balancer routes anew."""
        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc: only the settings count
        session.verify = self.settings.ca_bundle or True
        if self.settings.server_name:
            session.mount(self.settings.base_url, _NamedAdapter(self.settings.server_name))
        return session


class _NamedAdapter(HTTPAdapter):
    """Expects a certificate for a name other than the host of the URL."""

    def __init__(self, server_name: str) -> None:
        self._name = server_name
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # Any: the signature of requests
        super().init_poolmanager(*args, **kwargs, server_hostname=self._name, assert_hostname=self._name)


def expect(response: requests.Response, *statuses: int) -> dict[str, Any]:  # Any: JSON
    """Return the JSON object of a response.

    Raises:
        CheckError: its status is not one of `statuses`, or its body is not a JSON object.
    """
    if response.status_code not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise CheckError(f"want status {wanted}, got {response.status_code}")
    try:
        body = response.json()
    except ValueError:
        raise CheckError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise CheckError("the body is not a JSON object")
    return body


def require(condition: object, message: str) -> None:
    """Raise CheckError with `message` unless `condition` holds."""
    if not condition:
        raise CheckError(message)


def _shortened(text: str) -> str:
    text = text.strip()
    cut = len(text) - _SHOWN_CHARACTERS
    return text if cut <= 0 else f"{text[:_SHOWN_CHARACTERS]}... ({cut} more characters)"
