"""Stripe's API through its own SDK, with every failure sorted into what it proves.

Three things can become of a call: an answer, a refusal (Stripe answered and did nothing), or doubt (no answer, or one
that proves nothing). OutcomeUnknown is never guessed away here; `payments.processors.stripe` asks again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import requests
import stripe

from payments.processors.circuit import CircuitBreaker

stripe.enable_telemetry = False
_T = TypeVar("_T")
#: Seconds to wait before the one repetition of a call that may be repeated.
_PAUSE = 0.2
#: A repetition is worth it only with this much time left, in seconds.
_WORTH_REPEATING = 1.0
_CONFLICT, _TOO_MANY, _SERVER_ERROR = 409, 429, 500
#: Refunds listed per page.
_PAGE = 100


class Refused(Exception):  # noqa: N818  # an answer of Stripe's, not an error of ours
    """Stripe answered that it did not do it."""

    def __init__(self, error: stripe.StripeError) -> None:
        super().__init__(error.user_message or type(error).__name__)
        answer: Any = error.json_body
        body: Mapping[str, Any] = answer.get("error", {}) if isinstance(answer, dict) else {}
        self.code = str(error.code or body.get("code") or "")
        self.decline_code = str(body.get("decline_code") or "")
        self.advice_code = str(body.get("advice_code") or "")
        #: Whether the card was refused, rather than the request.
        self.is_decline = isinstance(error, stripe.CardError)
        #: Whether the API key was refused: a mistake of ours.
        self.is_misconfiguration = isinstance(error, stripe.AuthenticationError | stripe.PermissionError)


class OutcomeUnknown(Exception):  # noqa: N818
    """No answer, or one that proves nothing."""


class _Transport(stripe.HTTPClient):
    """HTTP for the SDK, with the time-out of the call being made in this thread."""

    name = "payments"

    def __init__(self) -> None:
        super().__init__(verify_ssl_certs=True)
        self._local = threading.local()

    def set_deadline(self, deadline: datetime) -> None:
        """Calls of this thread end at ``deadline``."""
        self._local.deadline = deadline

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """One request; nothing is sent after the deadline."""
        remaining = (self._local.deadline - datetime.now(UTC)).total_seconds()
        if remaining <= 0:
            raise _no_answer("the deadline has passed, nothing was sent")
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # Neither a proxy nor a password comes from the surroundings.
            self._local.session.trust_env = False
        try:
            answer = self._local.session.request(
                method, url, headers=headers, data=post_data, timeout=remaining, allow_redirects=False
            )
        except requests.RequestException as error:
            # Without the original's text, which holds the address and, for some, headers.
            raise _no_answer(type(error).__name__) from error
        return answer.text, answer.status_code, answer.headers

    def close(self) -> None:
        """Close this thread's connections."""
        if hasattr(self._local, "session"):
            self._local.session.close()


def _no_answer(why: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(f"No answer: {why}.")  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class StripeApi:
    """The calls that payments need. All take the ``deadline`` after which nothing is sent."""

    def __init__(self, *, api_key: str, breaker: CircuitBreaker, base_url: str = "https://api.stripe.com") -> None:
        self._breaker = breaker
        self._transport = _Transport()
        self._client = stripe.StripeClient(
            api_key,
            http_client=self._transport,
            base_addresses={"api": base_url},
            max_network_retries=0,  # repeated below, within the deadline
        )

    def create_intent(
        self, params: stripe.params.PaymentIntentCreateParams, *, key: str, deadline: datetime
    ) -> stripe.PaymentIntent:
        """Create a PaymentIntent. Unconfirmed it moves no money, so this may be repeated."""
        return self._call(
            lambda: self._client.v1.payment_intents.create(params, {"idempotency_key": key}), deadline, repeat=True
        )

    def confirm(self, intent_id: str, *, return_url: str | None, key: str, deadline: datetime) -> stripe.PaymentIntent:
        """Charge or authorize. The same ``key`` executes once, so this may be repeated."""
        params: stripe.params.PaymentIntentConfirmParams = {"return_url": return_url} if return_url else {}
        return self._call(
            lambda: self._client.v1.payment_intents.confirm(intent_id, params, {"idempotency_key": key}),
            deadline,
            repeat=True,
        )

    def retrieve(self, intent_id: str, *, deadline: datetime) -> stripe.PaymentIntent:
        """The PaymentIntent as it is now."""
        return self._call(lambda: self._client.v1.payment_intents.retrieve(intent_id), deadline, repeat=True)

    def capture(
        self, intent_id: str, amount: int, *, metadata: dict[str, str], key: str, deadline: datetime
    ) -> stripe.PaymentIntent:
        """Capture ``amount`` and release the rest."""
        params: stripe.params.PaymentIntentCaptureParams = {"amount_to_capture": amount, "metadata": metadata}
        return self._call(
            lambda: self._client.v1.payment_intents.capture(intent_id, params, {"idempotency_key": key}),
            deadline,
            repeat=True,
        )

    def cancel(self, intent_id: str, *, key: str, deadline: datetime) -> stripe.PaymentIntent:
        """Cancel a PaymentIntent that took no money."""
        return self._call(
            lambda: self._client.v1.payment_intents.cancel(intent_id, {}, {"idempotency_key": key}),
            deadline,
            repeat=True,
        )

    def refund(self, params: stripe.params.RefundCreateParams, *, key: str, deadline: datetime) -> stripe.Refund:
        """Give money back."""
        return self._call(
            lambda: self._client.v1.refunds.create(params, {"idempotency_key": key}), deadline, repeat=True
        )

    def refunds(self, intent_id: str, *, deadline: datetime) -> Iterator[stripe.Refund]:
        """Every refund of a PaymentIntent, newest first, by listing: Stripe's search lags behind."""
        params: stripe.params.RefundListParams = {"payment_intent": intent_id, "limit": _PAGE}
        while True:
            page = self._call(lambda: self._client.v1.refunds.list(params), deadline, repeat=True)  # noqa: B023
            yield from page.data
            if not page.has_more:
                return
            params = {"payment_intent": intent_id, "limit": _PAGE, "starting_after": page.data[-1].id}

    def _call(self, call: Callable[[], _T], deadline: datetime, *, repeat: bool) -> _T:
        """Make ``call``, once more if it may be repeated and there is time.

        Raises:
            Refused: Stripe did not do it.
            OutcomeUnknown: it may or may not have.
        """
        self._transport.set_deadline(deadline)
        try:
            result = call()
        except stripe.StripeError as error:
            if not _in_doubt(error):
                self._refuse(error)
            self._breaker.failed()
            remaining = (deadline - datetime.now(UTC)).total_seconds()
            if not repeat or remaining < _WORTH_REPEATING:
                raise OutcomeUnknown(type(error).__name__) from error
            time.sleep(_PAUSE)
            return self._call(call, deadline, repeat=False)
        self._breaker.succeeded()
        return result

    def _refuse(self, error: stripe.StripeError) -> NoReturn:
        if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
            self._breaker.failed()  # every payment would fail so: stop taking them
        else:
            self._breaker.succeeded()
        raise Refused(error) from error


def _in_doubt(error: stripe.StripeError) -> bool:
    """Whether ``error`` leaves open what happened: no answer, a server error, or a request still in progress.

    A key that was used with other parameters is doubt too: something was sent under it.
    """
    status = error.http_status
    if status is None or isinstance(error, stripe.APIConnectionError | stripe.IdempotencyError):
        return True
    return status >= _SERVER_ERROR or status in {_CONFLICT, _TOO_MANY}
