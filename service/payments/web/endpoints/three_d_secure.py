"""The sandbox's 3-D Secure page, which stands in for the issuer's page. Test mode only."""

from html import escape
from urllib.parse import urlsplit

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import Field

from payments.core.problems import MalformedRequest, NotFound, OutcomeUnknown
from payments.domain.money import currencies
from payments.processors.sandbox import Challenge, SandboxProcessor
from payments.services.three_d_secure import complete
from payments.web.http.context import context
from payments.web.http.guards import public
from payments.web.http.headers import CONTENT_SECURITY_POLICY
from payments.web.http.models import Parameters
from payments.web.openapi.responses import responses

_TAG = Tag(name="Sandbox", description="Stands in for banks and customers in test mode.")
_GONE = "This page was already used or never existed. Get the payment to see its state."
_INVALID_FORM = "Send decision=approve or decision=refuse as a form."
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>3-D Secure (sandbox)</title></head>
<body><h1>Confirm your payment</h1><p>Sandbox payment of {amount}. No money moves.</p>
<form method="post"><button name="decision" value="approve">Approve</button>
<button name="decision" value="refuse">Refuse</button></form></body></html>
"""
_DONE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>3-D Secure (sandbox)</title></head>
<body><h1>Thank you</h1><p>You can close this page.</p></body></html>
"""
#: Bytes of the form.
_MAX_FORM = 256
_PAGE_RESPONSE = {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}
_REDIRECT_RESPONSE = {"description": "Redirect to `return_url`."}


class ChallengePath(Parameters):
    """Identifies a page."""

    token: str = Field(pattern="^[A-Za-z0-9_-]{32}$")


api = APIBlueprint("three_d_secure", __name__, url_prefix="/v1", abp_tags=[_TAG])


@api.get("/sandbox/3ds/<token>", responses=responses({200: _PAGE_RESPONSE}, NotFound, always=()))
@public
def show_challenge(path: ChallengePath) -> Response:
    """Show the page that the customer is redirected to."""
    challenge = _sandbox().challenge(path.token)
    if challenge is None:
        raise NotFound(_GONE)
    return _html(_PAGE.format(amount=escape(_amount(challenge))), challenge.return_url)


@api.post(
    "/sandbox/3ds/<token>",
    responses=responses(
        {200: _PAGE_RESPONSE, 303: _REDIRECT_RESPONSE}, NotFound, MalformedRequest, OutcomeUnknown, always=()
    ),
)
@public
def answer_challenge(path: ChallengePath) -> Response:
    """Submit the customer's decision: `decision=approve` or `decision=refuse`, as a form."""
    if (request.content_length or 0) > _MAX_FORM:
        raise MalformedRequest(_INVALID_FORM)
    decision = request.form.get("decision")
    if decision not in ("approve", "refuse"):
        raise MalformedRequest(_INVALID_FORM)
    sandbox = _sandbox()
    challenge = sandbox.challenge(path.token)
    if challenge is None or not complete(context(), sandbox, challenge, path.token, approve=decision == "approve"):
        raise NotFound(_GONE)
    if challenge.return_url:
        return Response(status=303, headers={"Location": challenge.return_url})
    return _html(_DONE, None)


def _sandbox() -> SandboxProcessor:
    processor = context().processors.get(SandboxProcessor.name)
    if not isinstance(processor, SandboxProcessor):
        raise NotFound(_GONE)
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
