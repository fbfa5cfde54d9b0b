"""The reference shows every operation and error, needs no external resources, and escapes its content."""

import base64
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from payments.core.problems import all_errors
from payments.web.openapi import markdown, reference, wording
from payments.web.openapi.document import Document, Field
from tests.service.web.test_route_table import _APP

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
        self.ids: Counter[str] = Counter()
        self.headings: list[int] = []
        self.prose = ""
        self._in_code = 0
        self.links: list[str] = []
        self.resources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_code += tag in {"code", "style"}
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name, value in attrs:
            if name == "id" and value:
                self.ids[value] += 1
            if name == "href" and value:
                self.links.append(value)
            if name == "src" and value:
                self.resources.append(value)

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in {"code", "style"}

    def handle_data(self, data: str) -> None:
        self.prose += "" if self._in_code else data


@pytest.fixture(scope="module")
def page() -> reference.Page:
    return reference.render(_DOCUMENT, base_url="https://api.example", sandbox_tokens={"tok_x": "Works."})


def _parse(html: str) -> _Elements:
    found = _Elements()
    found.feed(html)
    return found


@pytest.fixture(scope="module")
def elements() -> _Elements:
    """The elements of the page as it is served."""
    return _parse(_APP.test_client().get("/docs").text)


def test_every_operation_field_and_error_has_one_anchor(elements: _Elements) -> None:
    assert {
        "createPayment",
        "createPayment-body",
        "createPayment.amount",
        "Payment",
        "Payment.last_error.advice",
    } <= set(elements.ids)
    assert {error.code for error in all_errors()} <= set(elements.ids)
    assert {"authentication", "idempotency", "errors", "lists", "receiving-webhooks", "versions", "test-tokens"} <= set(
        elements.ids
    )
    assert [name for name, count in elements.ids.items() if count > 1] == []


def test_every_link_has_a_target(elements: _Elements) -> None:
    outside = {"/openapi.json", "https://www.standardwebhooks.com"}
    assert [link for link in elements.links if link not in outside and link.removeprefix("#") not in elements.ids] == []


def test_one_h1_and_no_heading_level_left_out(elements: _Elements) -> None:
    assert elements.headings.count(1) == 1
    levels = elements.headings
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_prose_is_rendered_and_integers_are_integers(elements: _Elements) -> None:
    assert "`" not in elements.prose
    assert "](" not in elements.prose
    assert not re.search(r"\b\d+\.0\b", elements.prose)
    assert "1 to 999,999,999,999." in elements.prose


def test_nothing_is_hidden_from_the_browsers_search(elements: _Elements) -> None:
    assert not elements.tags & {"details", "dialog", "template", "input"}


def test_no_scripts_and_no_external_resources(page: reference.Page, elements: _Elements) -> None:
    assert not elements.tags & {"script", "link", "img", "iframe", "form"}
    assert elements.resources == []
    assert "url(" not in page.html
    assert "@import" not in page.html


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


def _fields(fields: list[Field], depth: int = 0) -> dict[tuple[str, int], Field]:
    found = {(field.name, depth): field for field in fields}
    for field in fields:
        found |= _fields(list(field.fields), depth + 1)
    return found


def test_fields_show_type_limits_and_nesting() -> None:
    fields = _fields(Document(_DOCUMENT).fields({"$ref": "#/components/schemas/Thing"}, of="Thing"))
    assert fields["name", 0].required
    shown = {name: (field.type, field.limits) for (name, _), field in fields.items()}
    assert shown == {
        "name": ("string", "Up to 40 characters."),
        "kind": ("string", "One of `a`, `b`."),
        "object": ("string", "Always `thing`."),
        "parent": ("object or null", ""),
        "parts": ("list of objects", "Up to 3 items."),
        "note": ("string or null", ""),
        "size": ("integer", "At least 1."),
    }
    assert ("size", 1) in fields


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"minimum": 1.0, "maximum": 999999999999.0}, "1 to 999,999,999,999."),
        ({"minimum": 0, "maximum": 604800, "default": 86400}, "0 to 604,800. Default: `86400`."),
        ({"minLength": 1, "maxLength": 255}, "1 to 255 characters."),
        ({"minLength": 0, "maxLength": 1}, "Up to 1 character."),
        ({"minLength": 1}, "At least 1 character."),
        ({"maxProperties": 50}, "Up to 50 fields."),
        ({"anyOf": [{"minimum": 1, "type": "integer"}, {"type": "null"}], "default": None}, "At least 1."),
        ({"type": "boolean", "default": True}, "Default: `true`."),
        ({"items": {"enum": ["a"]}, "minItems": 1, "maxItems": 2}, "Each is one of `a`. 1 to 2 items."),
        ({"pattern": "^[^\\x00]*$"}, ""),
    ],
    ids=range(10),
)
def test_limits_in_words(schema: dict[str, Any], said: str) -> None:
    assert wording.limits(schema, lambda found: found) == said


def _descriptions(value: Any) -> Iterator[str]:  # Any: JSON
    if isinstance(value, dict):
        if isinstance(value.get("description"), str):
            yield value["description"]
        yield from (text for item in value.values() for text in _descriptions(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in _descriptions(item))


_HOSTILE = ("<b>&\"'", "`<i>`", "``a ` b``", "[x](javascript:alert)", "* one\n  more\n* `two`", "a\n\nb", "[`a`](#b)")


def test_descriptions_are_rendered_as_commonmark_does() -> None:
    """The judge is markdown-it, an implementation of CommonMark."""
    judge = MarkdownIt("commonmark", {"html": False})
    guide, *_ = texts = [*_descriptions(_APP.api_doc), *_HOSTILE, *(error.action for error in all_errors())]
    assert guide.startswith("Authorize")
    for text in texts:
        rendered = "".join(
            (f"<h1>{found.title}</h1>" if found.title else "") + str(found.prose) for found in markdown.sections(text)
        )
        expected = re.sub(r"<pre>.*?</pre>\n", "", judge.render(text), flags=re.DOTALL)
        assert _plain(rendered) == _plain(expected), text


def _plain(html: str) -> str:
    """Without line breaks between blocks, and with quotes as they are."""
    return re.sub(r">\n<", "><", html.strip().replace("&#34;", '"').replace("&quot;", '"').replace("&#39;", "'"))
