"""The reference shows every operation and error, needs no external resources, and escapes its content."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from payments.core.problems import all_errors
from payments.web.openapi import reference

_DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Payments", "version": "1", "description": "Take `<money>`."},
    "paths": {
        "/v1/things/{id}": {
            "parameters": [],
            "get": {
                "operationId": "getThing",
                "summary": "Get a thing",
                "tags": ["Things"],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {
                    "200": {
                        "description": "It.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "default": {"description": "Else."},
                },
            },
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Thing"},
                            "examples": {"one": {"value": {"name": "</pre><script>"}}},
                        }
                    }
                },
                "responses": {},
            },
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 40, "description": "Its <b>name</b>."},
                    "kind": {"enum": ["a", "b"], "type": "string"},
                    "object": {"const": "thing"},
                    "parent": {"anyOf": [{"$ref": "#/components/schemas/Part"}, {"type": "null"}]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}, "maxItems": 3},
                    "note": {"type": ["string", "null"]},
                },
                "examples": [{"name": "n"}],
            },
            "Part": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1.0}}},
        }
    },
}


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in {"href", "src"} and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def page() -> reference.Page:
    return reference.render(_DOCUMENT, sandbox_tokens={"tok_x": "Works."})


@pytest.fixture(scope="module")
def elements(page: reference.Page) -> _Elements:
    found = _Elements()
    found.feed(page.html)
    return found


def test_every_operation_and_error_has_an_anchor(elements: _Elements) -> None:
    assert {"getThing", "post-/v1/things/{id}"} <= elements.ids
    assert {error.code for error in all_errors()} <= elements.ids


def test_every_link_has_a_target(elements: _Elements) -> None:
    for link in elements.links:
        assert link == "/openapi.json" or link.removeprefix("#") in elements.ids


def test_no_scripts_and_no_external_resources(page: reference.Page, elements: _Elements) -> None:
    assert not elements.tags & {"script", "link", "img", "iframe", "form"}
    assert "url(" not in page.html
    assert "http://" not in page.html
    assert "https://" not in page.html


def test_the_policy_allows_only_the_style_sheet(page: reference.Page) -> None:
    style = re.search(r"<style>(.*?)</style>", page.html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.content_security_policy
    assert "default-src 'none'" in page.content_security_policy
    assert "unsafe" not in page.content_security_policy
    assert " style=" not in page.html


def test_content_is_escaped(page: reference.Page) -> None:
    assert "<script>" not in page.html
    assert "Its &lt;b&gt;name" in page.html
    assert "Take <code>&lt;money&gt;</code>." in page.html


def test_fields_show_type_constraints_and_nesting() -> None:
    rows = {
        (row.name, row.depth): row for row in reference.Document(_DOCUMENT).rows({"$ref": "#/components/schemas/Thing"})
    }
    assert rows["name", 0].required
    assert rows["name", 0].type == "string, at most 40 characters"
    assert rows["kind", 0].type == 'string, one of "a", "b"'
    assert rows["object", 0].type == 'any, always "thing"'
    assert rows["parent", 0].type == "object or null"
    assert rows["parts", 0].type == "list of object, at most 3 items"
    assert rows["note", 0].type == "string or null"
    assert rows["size", 1].type == "integer, at least 1"


def test_examples_are_shown() -> None:
    get, post = reference.Document(_DOCUMENT).operations
    assert get.responses[0].example == '{\n  "name": "n"\n}'
    assert "script" in post.body_example
