"""`/openapi.json` and `/docs`: the API described by itself, offline, without scripts."""

from functools import cache
from typing import Any, cast

from flask import Response, current_app
from flask_openapi3.blueprint import APIBlueprint

from payments.processors.sandbox_tokens import TOKENS
from payments.web.endpoints.payments import answer_json
from payments.web.http import guards as edge
from payments.web.openapi import reference
from payments.web.openapi.api import Api

api = APIBlueprint("documentation", __name__, doc_ui=False)


@cache
def _page(app: Api) -> reference.Page:
    """Rendered once per application: its views do not change."""
    return reference.render(app.api_doc, sandbox_tokens={name: token.meaning for name, token in TOKENS.items()})


def _app() -> Api:
    return cast("Any", current_app)._get_current_object()  # type: ignore[no-any-return]  # Flask's way


@api.get("/openapi.json")
@edge.public
def openapi_json() -> Response:
    """The OpenAPI 3.1 document."""
    return answer_json(_app().api_doc)


@api.get("/docs")
@edge.public
def docs() -> Response:
    """The reference for people."""
    page = _page(_app())
    response = Response(page.html, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = page.content_security_policy
    return response
