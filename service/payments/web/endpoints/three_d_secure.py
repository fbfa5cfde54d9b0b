"""The sandbox's 3-D Secure page, which stands in for the issuer's page. Test mode only.

The page takes one decision. Whoever comes afterwards (a second click, the back button, another tab) is led on as the
first one was: back to the shop, or to a page that says what became of the payment.
"""

from collections.abc import Mapping
from html import escape
from typing import Literal
from urllib.parse import urlsplit

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import Field

from payments.core.problems import NotFound, OutcomeUnknown, UnsupportedMediaType
from payments.domain.money import currencies
from payments.domain.payments import PaymentStatus
from payments.processors.sandbox import Challenge, SandboxProcessor
from payments.services.three_d_secure import complete, payment_of
from payments.web.http import forms
from payments.web.http.context import context
from payments.web.http.guards import public
from payments.web.http.headers import CONTENT_SECURITY_POLICY
from payments.web.http.models import Parameters, RequestBody
from payments.web.http.overload import waits_for_processor
from payments.web.openapi.responses import PUBLIC, responses

_TAG = Tag(name="Sandbox", description="Stands in for banks and customers in test mode.")
_UNKNOWN = "There is no such page. Get the payment to see its state."
_INVALID_FORM = "Send decision=approve or decision=refuse as a form."
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>3-D Secure (sandbox)</title></head>
<body><h1>Confirm your payment</h1><p>Sandbox payment of {amount}. No money moves.</p>
<form method="post"><button name="decision" value="approve">Approve</button>
<button name="decision" value="refuse">Refuse</button></form></body></html>
"""
_DONE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>3-D Secure (sandbox)</title></head>
<body><h1>{result}</h1><p>You can close this page.</p></body></html>
"""
_CONFIRMED, _OPEN = "Your payment is confirmed", "Your payment is being processed"
_RESULTS: Mapping[PaymentStatus, str] = {
    PaymentStatus.PROCESSING: _OPEN,
    PaymentStatus.REQUIRES_ACTION: _OPEN,
    PaymentStatus.REQUIRES_CAPTURE: _CONFIRMED,
    PaymentStatus.PARTIALLY_CAPTURED: _CONFIRMED,
    PaymentStatus.SUCCEEDED: _CONFIRMED,
    PaymentStatus.FAILED: "Your payment was declined",
    PaymentStatus.CANCELED: "Your payment was canceled",
}
_PAGE_RESPONSE = {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}
_REDIRECT_RESPONSE = {
    "description": "Redirect to the payment's `return_url`, to which `payment_id` is added.",
    "headers": {"Location": {"description": "Where to.", "schema": {"type": "string"}}},
}


class ChallengePath(Parameters):
    """Identifies a page."""

    token: str = Field(
        pattern="^[A-Za-z0-9_-]{32}$",
        description="The last part of `next_action.redirect_to_url.url`.",
        json_schema_extra={"example": "opZkgEiaVNQlDvwacAVuPzEe142r_2Mk"},
    )


class Decision(RequestBody):
    """The customer's decision."""

    decision: Literal["approve", "refuse"]


api = APIBlueprint("three_d_secure", __name__, url_prefix="/v1", abp_tags=[_TAG])


@api.get(
    "/sandbox/3ds/<token>",
    responses=responses({200: _PAGE_RESPONSE, 303: _REDIRECT_RESPONSE}, NotFound, always=PUBLIC),
)
@public
def show_challenge(path: ChallengePath) -> Response:
    """Show the page that the customer is redirected to; once it was used, lead on as its form does."""
    challenge = _challenge(path.token)
    if not challenge.is_open:
        return _lead_on(challenge)
    return _html(_PAGE.format(amount=escape(_amount(challenge))), challenge.return_url)


@api.post(
    "/sandbox/3ds/<token>",
    responses=responses(
        {200: _PAGE_RESPONSE, 303: _REDIRECT_RESPONSE}, NotFound, UnsupportedMediaType, OutcomeUnknown, always=PUBLIC
    ),
)
@waits_for_processor
@public
@forms.takes_form(Decision)
def answer_challenge(path: ChallengePath) -> Response:
    """Submit the customer's decision. Only the first one counts; any other leads on in the same way."""
    form = forms.read(request, Decision, hint=_INVALID_FORM)
    challenge = _challenge(path.token)
    complete(context(), _sandbox(), challenge, path.token, approve=form.decision == "approve")
    return _lead_on(challenge)


def _challenge(token: str) -> Challenge:
    challenge = _sandbox().challenge(token)
    if challenge is None:
        raise NotFound(_UNKNOWN)
    return challenge


def _lead_on(challenge: Challenge) -> Response:
    """Return the way back to the shop, or a page that says what became of the payment."""
    if challenge.return_url:
        return Response(status=303, headers={"Location": challenge.return_url})
    return _html(_DONE.format(result=_RESULTS[payment_of(context(), challenge).status]), None)


def _sandbox() -> SandboxProcessor:
    processor = context().processors.get(SandboxProcessor.name)
    if not isinstance(processor, SandboxProcessor):
        raise NotFound(_UNKNOWN)
    return processor


def _amount(challenge: Challenge) -> str:
    exponent = currencies()[challenge.currency]
    return f"{challenge.amount / 10**exponent:.{exponent}f} {challenge.currency}"


def _html(page: str, return_url: str | None) -> Response:
    """Return a page whose form may be submitted here and redirect to the merchant."""
    targets = "'self'"
    if return_url:
        parts = urlsplit(return_url)
        targets += f" {parts.scheme}://{parts.netloc}"
    response = Response(page, content_type="text/html; charset=utf-8")
    policy = CONTENT_SECURITY_POLICY.replace("form-action 'none'", f"form-action {targets}")
    response.headers["Content-Security-Policy"] = policy
    return response
