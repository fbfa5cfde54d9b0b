"""`payments listen`: shows the events of a merchant's test mode as they happen, and forwards them to this machine.

It reads `GET /v1/events` back to the newest event that it knows. A forwarded event is what a webhook endpoint would
get: the same body, the same headers, sent by the same code; only the signing secret is its own.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from payments.client.api import ApiClient, ApiUnavailable, ClientError, printable
from payments.client.terminal import Colour, Terminal
from payments.delivery.addresses import AddressRefused, check_url, is_loopback
from payments.delivery.sender import Sender
from payments.domain import webhooks

#: Seconds between two looks, and at most if the API is not available.
_INTERVAL, _MAX_INTERVAL = 1.0, 30.0
_PAGE = 100


def signing_secret(api_key: str) -> str:
    """Return the secret that signs what is forwarded: the same for the same key, from which nobody learns the key."""
    digest = hmac.new(api_key.encode(), b"payments listen", hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(digest).decode()


def forward_url(text: str) -> str:
    """Return the URL to forward to; a text without a scheme is ``http://``.

    Only this machine: whatever runs elsewhere is served better by a webhook endpoint, with retries and a log, and a
    mistyped host would be sent a merchant's data.

    Raises:
        ClientError: It is none, or not on this machine.
    """
    url = text if "://" in text else f"http://{text}"
    try:
        parts = check_url(url, allow_local=True)
    except AddressRefused:
        parts = None
    if parts is None or not is_loopback(parts.hostname or ""):
        raise ClientError(
            "--forward-to takes a URL on this machine, such as http://localhost:4242/webhook. "
            "For a receiver elsewhere, create a webhook endpoint: POST /v1/webhook_endpoints."
        )
    return url


class Listener:
    """Follows the events from now on. ``forward_to`` is a URL of :func:`forward_url`, or nothing."""

    def __init__(self, api: ApiClient, terminal: Terminal, *, forward_to: str | None, secret: str) -> None:
        self._api = api
        self._terminal = terminal
        self._forward_to = forward_to
        self._secret = secret
        self._sender = Sender(allow_local=True)
        self._known: str | None = None

    def run(self) -> None:
        """Follow until interrupted.

        Raises:
            ApiUnavailable: At the start. Later, it waits for the API to come back.
            ClientError: The API refuses.
        """
        newest = self._page(limit=1)["data"]
        self._known = newest[0]["id"] if newest else None
        self._greet()
        waiting = _INTERVAL
        while True:
            time.sleep(waiting)
            try:
                self._follow()
            except ApiUnavailable as error:
                if waiting == _INTERVAL:
                    self._note(f"{error} Trying again until it is back ...", Colour.BAD)
                waiting = max(error.retry_after, min(waiting * 2, _MAX_INTERVAL))
            else:
                if waiting != _INTERVAL:
                    self._note("The API is back.", Colour.GOOD)
                waiting = _INTERVAL

    def _greet(self) -> None:
        if self._forward_to:
            secret = self._terminal.paint(self._secret, Colour.STRONG)
            self._terminal.line(f"> Ready! Your webhook signing secret is {secret} (^C to quit)")
        else:
            self._terminal.line("> Ready! Events are shown; --forward-to URL also sends them (^C to quit)")

    def _follow(self) -> None:
        for event in reversed(list(self._unknown())):
            self._show(event)
            self._known = event["id"]

    def _unknown(self) -> Iterator[dict[str, Any]]:
        """Yield the events after the known one, newest first."""
        query: dict[str, str | int] = {"limit": _PAGE}
        while True:
            page = self._page(**query)
            for event in page["data"]:
                if event["id"] == self._known:
                    return
                yield event
            if not page["has_more"]:
                return
            query["cursor"] = page["next_cursor"]

    def _page(self, **query: str | int) -> dict[str, Any]:
        page = self._api.get("/v1/events", **query).json()
        if page.get("object") != "list":
            raise ClientError("the answer is not a list of events. Check PAYMENTS_URL or --url.")
        return page

    def _show(self, event: dict[str, Any]) -> None:
        """Show an event and forward it; a receiver that fails changes nothing for the next one."""
        event_id = printable(event["id"])
        # As text of its own: the list's copy need not be the bytes that are delivered.
        body = self._api.get(f"/v1/events/{event_id}").body if self._forward_to else b""
        name = self._terminal.paint(printable(event["type"]), Colour.STRONG)
        about = self._terminal.paint(f"{event['payment']} #{event['sequence']}", Colour.QUIET)
        self._terminal.line(f"{_now()}   --> {name} [{event_id}] {about}")
        if self._forward_to:
            self._forward(self._forward_to, event_id, body)

    def _forward(self, url: str, event_id: str, body: bytes) -> None:
        headers = webhooks.signed_headers([self._secret], message_id=event_id, timestamp=int(time.time()), body=body)
        result = self._sender.post(url, headers=headers, body=body)
        status = f"[{result.status or 'ERROR'}]"
        painted = self._terminal.paint(status, Colour.GOOD if result.delivered else Colour.BAD)
        said = (
            f" {result.error} Does your server run at {urlsplit(url).netloc}?" if result.error else _hint(result.status)
        )
        self._terminal.line(f"{_now()}  <--  {painted} POST {url} [{event_id}]{said}")

    def _note(self, text: str, colour: Colour) -> None:
        self._terminal.line(f"{_now()}  {self._terminal.paint(text, colour)}")


def _hint(status: int | None) -> str:
    if status is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return " Redirects are not followed: give the final URL."
    return ""


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
