"""A client of the public API, in test mode only."""

import http.client
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

from payments.core.operator_errors import OperatorError

#: Seconds; the API answers within 30, whatever its processor does.
_TIMEOUT = 40.0
_KEY = re.compile(r"sk_test_[A-Za-z0-9_-]+")
_LIVE = ("sk_live_", "rk_live_")
#: Statuses that say: not now.
_LATER = frozenset({429, 500, 502, 503, 504})


class ClientError(OperatorError):
    """The API cannot be used like this; the message says why and what to do."""


class ApiUnavailable(ClientError):  # noqa: N818 - a state of the API, not a fault
    """The API cannot be reached or is busy; it may be available later.

    Args:
        message: What is wrong.
        retry_after: Seconds after which the API asks to be called again.
    """

    def __init__(self, message: str, *, retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Account:
    """Which API is called, and as whom."""

    #: Base URL, such as ``https://api.example.com``.
    url: str
    api_key: str = field(repr=False)
    #: Certificates to trust, besides those that the system trusts.
    ca_file: Path | None

    def __post_init__(self) -> None:
        """Refuse what would reveal a key, or reach for live data.

        Raises:
            ClientError: The message says what to change.
        """
        if self.api_key.startswith(_LIVE):
            raise ClientError(
                "PAYMENTS_API_KEY is a live key, and this command is for test mode only: events of real customers "
                "do not belong on a developer's machine, and real payments are not for trying. Use a key that begins "
                "with sk_test_."
            )
        if not _KEY.fullmatch(self.api_key):
            raise ClientError("PAYMENTS_API_KEY must be a test key: sk_test_...")
        try:
            parts = urllib.parse.urlsplit(self.url)
            valid = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise ClientError("PAYMENTS_URL or --url must be https://HOST or https://HOST:PORT: the key is sent there.")
        if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ClientError("PAYMENTS_URL or --url must end after the host and port: paths such as /v1 are added.")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the API answered."""

    status: int
    body: bytes
    #: Seconds, from its ``Retry-After``.
    retry_after: float = 0

    def json(self) -> dict[str, Any]:
        """Return the body, a JSON object.

        Raises:
            ClientError: It is something else: this is not the API.
        """
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ClientError(f"the answer ({self.status}) is not this API's. Check PAYMENTS_URL or --url.")
        return found


class ApiClient:
    """Calls the API."""

    def __init__(self, account: Account) -> None:
        self._url = account.url.rstrip("/")
        self._key = account.api_key
        handlers = (_NoRedirects(), urllib.request.HTTPSHandler(context=_trust(account.ca_file)))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **query: str | int) -> Answer:
        """Get ``path``.

        Raises:
            ApiUnavailable: The API cannot be reached, or is busy.
            ClientError: It refuses.
        """
        answer = self._call("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))
        return answer if answer.status == HTTPStatus.OK else _refuse(answer)

    def post(self, path: str, body: Mapping[str, object], *, expected: int) -> dict[str, Any]:
        """Post ``body`` to ``path`` under a new Idempotency-Key; return the object if the status is the expected one.

        Raises:
            ApiUnavailable: The API cannot be reached, or is busy.
            ClientError: It answers anything else.
        """
        answer = self._call("POST", path, json.dumps(body).encode())
        return answer.json() if answer.status == expected else _refuse(answer)

    def _call(self, method: str, path: str, data: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "User-Agent": "payments-cli/1"}
        if data is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        # The account's URL is https, see there.
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310 - https
        try:
            try:
                response = self._opener.open(request, timeout=_TIMEOUT)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                return Answer(
                    status=response.status, body=response.read(), retry_after=_seconds(response.headers["Retry-After"])
                )
        except urllib.error.URLError as error:
            _fail(self._url, error.reason)
        except (OSError, http.client.HTTPException) as error:
            _fail(self._url, error)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key is for one host only."""

    def redirect_request(self, *_: object) -> None:
        """Return nothing: the redirect is the answer."""


def printable(text: object) -> str:
    """Return what another machine sent, without what would control the terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            reason = "has no certificate in PEM" if isinstance(error, ssl.SSLError) else f"({error.strerror})"
            raise ClientError(f"PAYMENTS_CA_FILE or --ca-file cannot be used: {ca_file} {reason}.") from error
    return context


def _fail(url: str, reason: object) -> NoReturn:
    """Raise what a failed connection means; ``reason`` is an exception, or urllib's text.

    Raises:
        ClientError: Waiting will not help.
        ApiUnavailable: It may.
    """
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise ClientError(
            f"the certificate of {url} is not trusted: {reason.verify_message}. "
            "Name the file of its CA in PAYMENTS_CA_FILE or --ca-file."
        )
    if isinstance(reason, ConnectionRefusedError):
        explanation = "nothing listens there"
    elif isinstance(reason, TimeoutError):
        explanation = "no answer in time"
    elif isinstance(reason, OSError):
        explanation = reason.strerror or type(reason).__name__
    elif isinstance(reason, http.client.HTTPException):
        explanation = "the answer is not HTTP, or ended early"
    else:
        explanation = str(reason)
    raise ApiUnavailable(f"{url} cannot be reached: {explanation}. Check PAYMENTS_URL or --url.")


def _refuse(answer: Answer) -> NoReturn:
    """Raise what an unexpected answer means.

    Raises:
        ClientError: Waiting will not help.
        ApiUnavailable: It may.
    """
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise ClientError(
            "the API does not accept the key (401). Check that PAYMENTS_API_KEY is complete, of this environment, "
            "and neither expired nor revoked."
        )
    if answer.status in _LATER:
        raise ApiUnavailable(f"the API is not available ({answer.status}).", retry_after=answer.retry_after)
    problem = answer.json()
    said = [printable(problem[name]) for name in ("code", "status", "detail") if name in problem]
    raise ClientError(f"the API's answer is {answer.status}, which is not what belongs here: {' '.join(said)}")


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() and len(retry_after) < 6 else 0
