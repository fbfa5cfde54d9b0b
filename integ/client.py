"""An HTTP client that remembers what it said and heard, so that a failed check can show it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from integ.settings import Settings

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and to wait for an answer: longer than the API's own deadline at its processor."""
#: What a load balancer answers while targets come and go, and the API while it is busy; the same may be sent again.
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
    """A promise that is not kept. The message says what was expected and what came instead."""


class SkippedError(Exception):
    """A check that does not apply to this target; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request with its response, or with the reason why there was none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    response: requests.Response | None = None
    error: str = ""

    def lines(self) -> list[str]:
        """The exchange for a reader: `>` is what was sent, `<` what came back. The key is not shown."""
        sent = [f"> {self.method} {self.url}"]
        sent += [
            f"> {name}: {'(the smoke key)' if name == 'Authorization' else value}"
            for name, value in self.headers.items()
        ]
        if self.body:
            sent.append("> " + _shortened(self.body.decode("utf-8", "replace")))
        if self.response is None:
            return [*sent, f"< no answer: {self.error}"]
        answer = self.response
        seconds = answer.elapsed.total_seconds()
        heard = [f"< {answer.status_code} {answer.reason} after {seconds:.3f} s"]
        heard += [f"< {name}: {value}" for name, value in answer.headers.items() if name.lower() in _SHOWN_HEADERS]
        return [*sent, *heard, "< " + _shortened(answer.text)]


@dataclass(kw_only=True)
class Client:
    """Calls the API. Transient failures are repeated a few times, everything else is an answer."""

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
        """Send a request to the API and answer its response.

        Raises:
            CheckError: there was no answer.
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
        """Send a request to any address, without following redirects; see `call`."""
        for remaining in reversed(range(self.attempts)):
            response, error = None, ""
            try:
                with self._session() as session:
                    response = session.request(
                        method, url, headers=dict(headers or {}), data=data, timeout=TIMEOUT, allow_redirects=False
                    )
            except requests.RequestException as problem:
                error = str(problem)
            self.exchanges.append(
                Exchange(method=method, url=url, headers=dict(headers or {}), body=data, response=response, error=error)
            )
            if response is not None and (response.status_code not in _TRANSIENT or not remaining):
                return response
            if remaining:
                time.sleep(self.pause)
        raise CheckError(f"{method} {url} was not answered, {self.attempts} times in a row: {error}")

    def _session(self) -> requests.Session:
        """A new connection for each request, so that every one of them goes through the load balancer's choice."""
        session = requests.Session()
        session.trust_env = False  # the settings alone decide: no proxy, no .netrc
        session.verify = self.settings.ca_bundle or True
        if self.settings.server_name:
            session.mount(self.settings.base_url, _NamedAdapter(self.settings.server_name))
        return session


class _NamedAdapter(HTTPAdapter):
    """Expects a certificate for a name that is not the host of the address."""

    def __init__(self, server_name: str) -> None:
        self._name = server_name
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, server_hostname=self._name, assert_hostname=self._name)


def expect(response: requests.Response, *statuses: int) -> dict[str, Any]:
    """The JSON object of a response that must have one of `statuses`."""
    if response.status_code not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise CheckError(f"want status {wanted}, got {response.status_code}")
    try:
        answer = response.json()
    except ValueError:
        raise CheckError("the body is not JSON") from None
    if not isinstance(answer, dict):
        raise CheckError("the body is not a JSON object")
    return answer


def require(condition: object, message: str) -> None:
    """Fail with `message` unless `condition` holds."""
    if not condition:
        raise CheckError(message)


def _shortened(text: str) -> str:
    text = text.strip()
    cut = len(text) - _SHOWN_CHARACTERS
    return text if cut <= 0 else f"{text[:_SHOWN_CHARACTERS]}... ({cut} more characters)"
