"""Stripe's API through its SDK, with every failure sorted by what it proves.

A call returns Stripe's object, or raises :class:`RequestRefused` (Stripe responded and did nothing) or
:class:`Indeterminate` (no response, or one that proves nothing). Nothing is guessed here: the caller looks it up.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import requests
import stripe
import urllib3
from requests.adapters import HTTPAdapter

from payments.core.cutoff import CUTOFF
from payments.processors.circuit import CircuitBreaker
from payments.processors.stripe_reasons import UNDECIDED, Reason

stripe.enable_telemetry = False
_T = TypeVar("_T")
#: Seconds to wait before the only retry of a call.
_RETRY_DELAY = 0.2
#: Seconds that must be left for a retry.
_MIN_RETRY_TIME = 1.0
#: Refunds listed per page.
_PAGE = 100


class RequestRefused(Exception):  # noqa: N818 - a response of Stripe's, not a fault
    """Stripe responded that it did not carry out the request."""

    def __init__(self, error: stripe.StripeError) -> None:
        super().__init__(type(error).__name__)
        self.reason = Reason.of(_details(error) or {}, status=error.http_status or 0)


class Indeterminate(Exception):  # noqa: N818 - a lack of evidence, not a fault
    """Stripe did not respond, or its response proves nothing."""


#: ``exchange`` is the one that this thread is at.
_thread = threading.local()


class _HTTPConnection(urllib3.connection.HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:  # Any: urllib3's own signature
        _thread.exchange.connection = self
        super().request(*args, **kwargs)


class _HTTPSConnection(urllib3.connection.HTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:  # Any: urllib3's own signature
        _thread.exchange.connection = self
        super().request(*args, **kwargs)


class _Exchange:
    """A request and its response, which another thread can cut off."""

    def __init__(self) -> None:
        self.connection: _HTTPConnection | _HTTPSConnection | None = None

    def cut(self) -> None:
        """Shut the connection down. Past TLS, whose own shutdown would take its state from under the reader."""
        if self.connection is not None and self.connection.sock is not None:
            socket.socket.shutdown(self.connection.sock, socket.SHUT_RDWR)


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    """Connections that tell the thread that uses them."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # Any: requests' own signature
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


class _Transport(stripe.HTTPClient):
    """HTTP client of the SDK that enforces deadlines. Deadline and session are per thread."""

    name = "payments"

    def __init__(self) -> None:
        super().__init__(verify_ssl_certs=True)
        self._local = threading.local()

    def set_deadline(self, deadline: datetime) -> None:
        """Set the deadline of the calls in this thread."""
        self._local.deadline = deadline

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,  # Any: the SDK's own signature
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Send one request, unless the deadline has passed."""
        remaining = (self._local.deadline - datetime.now(UTC)).total_seconds()
        if remaining <= 0:
            raise _no_response("the deadline has passed, nothing was sent")
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # Take neither proxies nor credentials from the environment.
            self._local.session.trust_env = False
            self._local.session.mount("https://", _Adapter())
            self._local.session.mount("http://", _Adapter())
        _thread.exchange = exchange = _Exchange()
        try:
            # The time-out is for each read: a response that drips in would never exceed it.
            with CUTOFF.after(remaining, exchange.cut):
                response = self._local.session.request(
                    method, url, headers=headers, data=post_data, timeout=remaining, allow_redirects=False
                )
        except requests.RequestException as error:
            # Without the original message, which contains the URL and sometimes headers.
            raise _no_response(type(error).__name__) from error
        return response.text, response.status_code, response.headers

    def close(self) -> None:
        """Close this thread's connections."""
        if hasattr(self._local, "session"):
            self._local.session.close()


def _no_response(why: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(f"No response: {why}.")  # type: ignore[no-untyped-call]  # untyped in the SDK


class StripeApi:
    """The calls that payments need. Each takes a ``deadline``, after which nothing is sent.

    Each may be retried once: an idempotency ``key`` is executed only once, and the others change nothing.
    """

    def __init__(self, *, api_key: str, breaker: CircuitBreaker, base_url: str = "https://api.stripe.com") -> None:
        self._breaker = breaker
        self._transport = _Transport()
        self._client = stripe.StripeClient(
            api_key,
            http_client=self._transport,
            base_addresses={"api": base_url},
            max_network_retries=0,  # retried below, within the deadline
        )

    def create_intent(
        self, params: stripe.params.PaymentIntentCreateParams, *, key: str, deadline: datetime
    ) -> stripe.PaymentIntent:
        """Create an unconfirmed PaymentIntent, which moves no money."""
        return self._call(lambda: self._client.v1.payment_intents.create(params, {"idempotency_key": key}), deadline)

    def confirm(self, intent_id: str, *, return_url: str | None, key: str, deadline: datetime) -> stripe.PaymentIntent:
        """Charge or authorize."""
        params: stripe.params.PaymentIntentConfirmParams = {"return_url": return_url} if return_url else {}
        return self._call(
            lambda: self._client.v1.payment_intents.confirm(intent_id, params, {"idempotency_key": key}), deadline
        )

    def retrieve(self, intent_id: str, *, deadline: datetime) -> stripe.PaymentIntent:
        """Return the current PaymentIntent."""
        return self._call(lambda: self._client.v1.payment_intents.retrieve(intent_id), deadline)

    def capture(
        self, intent_id: str, amount: int, *, metadata: dict[str, str], key: str, deadline: datetime
    ) -> stripe.PaymentIntent:
        """Capture ``amount`` (Stripe's units) and release the rest."""
        params: stripe.params.PaymentIntentCaptureParams = {"amount_to_capture": amount, "metadata": metadata}
        return self._call(
            lambda: self._client.v1.payment_intents.capture(intent_id, params, {"idempotency_key": key}), deadline
        )

    def cancel(self, intent_id: str, *, key: str, deadline: datetime) -> stripe.PaymentIntent:
        """Cancel a PaymentIntent that has taken no money."""
        return self._call(
            lambda: self._client.v1.payment_intents.cancel(intent_id, {}, {"idempotency_key": key}), deadline
        )

    def refund(self, params: stripe.params.RefundCreateParams, *, key: str, deadline: datetime) -> stripe.Refund:
        """Refund a PaymentIntent."""
        return self._call(lambda: self._client.v1.refunds.create(params, {"idempotency_key": key}), deadline)

    def list_refunds(self, intent_id: str, *, deadline: datetime) -> Iterator[stripe.Refund]:
        """Yield every refund of a PaymentIntent, newest first. Not by Stripe's search, which lags behind."""
        params: stripe.params.RefundListParams = {"payment_intent": intent_id, "limit": _PAGE}
        while True:
            page = self._call(lambda: self._client.v1.refunds.list(params), deadline)  # noqa: B023 - called at once
            yield from page.data
            if not page.has_more:
                return
            params = {"payment_intent": intent_id, "limit": _PAGE, "starting_after": page.data[-1].id}

    def _call(self, call: Callable[[], _T], deadline: datetime) -> _T:
        """Make ``call``, and retry it once if its outcome is unknown and there is time.

        Raises:
            RequestRefused: Stripe did not carry it out.
            Indeterminate: Stripe may or may not have carried it out.
        """
        try:
            return self._call_once(call, deadline)
        except Indeterminate:
            if (deadline - datetime.now(UTC)).total_seconds() < _MIN_RETRY_TIME:
                raise
        time.sleep(_RETRY_DELAY)
        return self._call_once(call, deadline)

    def _call_once(self, call: Callable[[], _T], deadline: datetime) -> _T:
        self._transport.set_deadline(deadline)
        try:
            result = call()
        except stripe.StripeError as error:
            if _is_indeterminate(error):
                self._breaker.failed()
                raise Indeterminate(type(error).__name__) from error
            refusal = RequestRefused(error)
            if refusal.reason.concerns_all_calls:
                self._breaker.failed()  # every payment would fail like this: stop accepting them
            else:
                self._breaker.succeeded()
            raise refusal from error
        if not _makes_sense(result):
            self._breaker.failed()
            raise Indeterminate("the response makes no sense")
        self._breaker.succeeded()
        return result


def _is_indeterminate(error: stripe.StripeError) -> bool:
    """Return whether ``error`` leaves open what happened: no response, a server error, or a request in progress.

    An idempotency key that was used with other parameters counts too: something was sent under it. So does a response
    that is not Stripe's, such as the page of a proxy.
    """
    status, details = error.http_status, _details(error)
    if status is None or details is None or isinstance(error, stripe.APIConnectionError | stripe.IdempotencyError):
        return True
    if details.get("type") == "api_error" or details.get("code") in UNDECIDED:
        return True
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}


def _makes_sense(result: object) -> bool:
    """Return whether a response has what we read of it, whatever else a proxy or a fault may have made of it."""
    found = {name: getattr(result, name, None) for name in ("id", "status", "amount_received", "data", "has_more")}
    if isinstance(result, stripe.ListObject):
        return isinstance(found["data"], list) and isinstance(found["has_more"], bool)
    if isinstance(result, stripe.PaymentIntent) and not isinstance(found["amount_received"], int):
        return False
    return isinstance(found["id"], str) and isinstance(found["status"], str)


def _details(error: stripe.StripeError) -> Mapping[str, Any] | None:
    """Return the error object of a response (``Any``: parsed JSON); ``None`` if it has none."""
    body = error.json_body
    details = body.get("error") if isinstance(body, Mapping) else None
    return details if isinstance(details, Mapping) else None
