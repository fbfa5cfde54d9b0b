"""`/openapi.json` and `/docs`: the API's documentation, served offline and without scripts."""

from functools import cache
from typing import cast

from flask import Response, current_app
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from payments.processors.sandbox_tokens import TOKENS
from payments.web.http.guards import public
from payments.web.http.responses import json_response
from payments.web.openapi import reference
from payments.web.openapi.api import Api
from payments.web.openapi.responses import PUBLIC, responses

_TAG = Tag(name="Documentation", description="This document, for programs and for people.")
_DOCUMENT = {"description": "The document.", "content": {"application/json": {"schema": {"type": "object"}}}}
_PAGE = {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}

api = APIBlueprint("documentation", __name__, doc_ui=False, abp_tags=[_TAG])


@cache
def _page(app: Api) -> reference.Page:
    """Render the reference, once per application: its endpoints do not change."""
    tokens = {name: token.meaning for name, token in TOKENS.items()}
    return reference.render(app.api_doc, base_url=app.public_base_url, sandbox_tokens=tokens)


def _app() -> Api:
    return cast("Api", current_app._get_current_object())  # type: ignore[attr-defined]  # Flask's own way to the app


@api.get("/openapi.json", responses=responses({200: _DOCUMENT}, always=PUBLIC))
@public
def openapi_json() -> Response:
    """Get the OpenAPI 3.1 document."""
    return json_response(_app().api_doc)


@api.get("/docs", responses=responses({200: _PAGE}, always=PUBLIC))
@public
def docs() -> Response:
    """Get the API reference."""
    page = _page(_app())
    response = Response(page.html, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = page.content_security_policy
    return response
