"""The API reference at ``/docs``: one page generated from the OpenAPI document, without scripts or external resources.

It works offline, under a Content-Security-Policy that allows only its own style sheet (by hash), prints well, and has
an anchor for the ``type`` of every error.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from payments.core.problems import ApiError, all_errors
from payments.web.http.headers import CONTENT_SECURITY_POLICY
from payments.web.http.problems import MEDIA_TYPE

_METHODS = ("get", "post", "put", "patch", "delete")
_TEMPLATES = Path(__file__).parent / "templates"
#: Levels of nested objects in a table.
_MAX_DEPTH = 4
#: Values of an enumeration in a table.
_MAX_CHOICES = 20
#: JSON Schema keywords shown after a type.
_CONSTRAINTS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} fields",
    "pattern": "matches {}",
    "default": "default {}",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table of fields or parameters."""

    name: str
    type: str
    required: bool
    description: str
    depth: int = 0


@dataclass(frozen=True, kw_only=True)
class Response:
    """One documented response of an operation."""

    status: str
    phrase: str
    description: str
    rows: Sequence[Row]
    example: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    tag: str
    parameters: Sequence[Row] = field(default=())
    body: Sequence[Row] = field(default=())
    body_example: str = ""
    responses: Sequence[Response] = field(default=())


class Document:
    """An OpenAPI document, prepared for people."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow the reference of ``schema``."""
        seen = 0
        while "$ref" in schema and seen < _MAX_DEPTH:
            seen += 1
            target: Any = self._document
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        return schema

    @cached_property
    def operations(self) -> list[Operation]:
        """Every operation, in document order."""
        return [
            self._operation(path, method, operation)
            for path, item in self._document.get("paths", {}).items()
            for method, operation in item.items()
            if method in _METHODS
        ]

    @property
    def tags(self) -> dict[str, list[Operation]]:
        """Operations by their first tag."""
        result: dict[str, list[Operation]] = {}
        for operation in self.operations:
            result.setdefault(operation.tag, []).append(operation)
        return result

    def _operation(self, path: str, method: str, operation: Mapping[str, Any]) -> Operation:
        content = self._json(self.resolve(operation.get("requestBody", {})))
        schema = content.get("schema", {})
        return Operation(
            anchor=operation.get("operationId", f"{method}-{path}"),
            method=method.upper(),
            path=path,
            summary=operation.get("summary", ""),
            description=operation.get("description", ""),
            tag=next(iter(operation.get("tags", ())), "Other"),
            parameters=[self._parameter(parameter) for parameter in operation.get("parameters", ())],
            body=list(self.rows(schema)),
            body_example=self._example(content),
            responses=[self._response(status, response) for status, response in operation.get("responses", {}).items()],
        )

    def _parameter(self, parameter: Mapping[str, Any]) -> Row:
        parameter = self.resolve(parameter)
        schema = self.resolve(parameter.get("schema", {}))
        return Row(
            name=f"{parameter['name']} ({parameter['in']})",
            type=self.type_of(schema),
            required=bool(parameter.get("required")),
            description=str(parameter.get("description") or schema.get("description", "")),
        )

    def _response(self, status: str, response: Mapping[str, Any]) -> Response:
        response = self.resolve(response)
        # All problems have the same fields, and their codes are in the error catalogue.
        content = {} if MEDIA_TYPE in response.get("content", {}) else self._json(response)
        return Response(
            status=status,
            phrase=HTTPStatus(int(status)).phrase if status.isdigit() else "",
            description=response.get("description", ""),
            rows=list(self.rows(content.get("schema", {}))),
            example=self._example(content),
        )

    @staticmethod
    def _json(holder: Mapping[str, Any]) -> Mapping[str, Any]:
        content: Mapping[str, Any] = next(iter(holder.get("content", {}).values()), {})
        return content

    def _example(self, content: Mapping[str, Any]) -> str:
        schema = self.resolve(content.get("schema", {}))
        named = content.get("examples", {})
        first: Mapping[str, Any] = next(iter(named.values()), {}) if isinstance(named, Mapping) else {}
        example = content.get("example", self.resolve(first).get("value", schema.get("example")))
        if example is None:
            example = next(iter(schema.get("examples", ())), None)
        return "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)

    def rows(self, schema: Mapping[str, Any], depth: int = 0) -> Iterator[Row]:
        """Yield the fields of an object, nested ones with their depth."""
        schema = self._object_in(schema)
        required = set(schema.get("required", ()))
        for name, reference in schema.get("properties", {}).items():
            value = self.resolve(reference)
            yield Row(
                name=name,
                type=self.type_of(value),
                required=name in required,
                description=value.get("description", ""),
                depth=depth,
            )
            if depth < _MAX_DEPTH:
                yield from self.rows(value, depth + 1)

    def _object_in(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the object schema that ``schema`` is, lists or allows besides null."""
        schema = self.resolve(schema)
        if "items" in schema:
            return self._object_in(schema["items"])
        for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            candidate = self._object_in(choice)
            if "properties" in candidate:
                return candidate
        return schema

    def type_of(self, schema: Mapping[str, Any]) -> str:
        """Describe a schema's type and constraints."""
        schema = self.resolve(schema)
        choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if choices:
            return " or ".join(dict.fromkeys(self.type_of(choice) for choice in choices))
        words = [self._plain_type(schema)]
        if "enum" in schema:
            words.append(_choices(schema["enum"]))
        if "const" in schema:
            words.append("always " + json.dumps(schema["const"]))
        words += [
            form.format(_constraint(schema[key])) for key, form in _CONSTRAINTS.items() if schema.get(key) is not None
        ]
        return ", ".join(words)

    def _plain_type(self, schema: Mapping[str, Any]) -> str:
        if "items" in schema:
            return f"list of {self._plain_type(self.resolve(schema['items']))}"
        plain = schema.get("type", "object" if "properties" in schema or "allOf" in schema else "any")
        return " or ".join(plain) if isinstance(plain, list) else str(plain)


def _choices(values: Sequence[object]) -> str:
    """Return the values of an enumeration, long ones as their first few."""
    shown = ", ".join(json.dumps(value) for value in values[:_MAX_CHOICES])
    return f"one of {shown}" + (f" and {len(values) - _MAX_CHOICES} more" if len(values) > _MAX_CHOICES else "")


def _constraint(value: object) -> str:
    """Return a constraint's value as JSON; the library writes some integers as floats."""
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def _code(text: str) -> Markup:
    """Escape ``text`` and show what is between backticks as code."""
    prose_and_code = re.split(r"`+([^`]+)`+", text)  # alternately
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(prose_and_code)
    )


def errors() -> list[type[ApiError]]:
    """Return the error catalogue, by status."""
    return sorted(all_errors(), key=lambda error: (error.status, error.code))


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page and its Content-Security-Policy."""

    html: str
    content_security_policy: str


def render(document: Mapping[str, Any], *, sandbox_tokens: Mapping[str, str]) -> Page:
    """Render the reference.

    Args:
        document: The OpenAPI document.
        sandbox_tokens: Test payment methods with a description of their effect.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["code"] = _code
    style = (_TEMPLATES / "reference.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    html = environment.get_template("reference.html.jinja").render(
        info=document["info"],
        tags=Document(document).tags,
        errors=errors(),
        sandbox_tokens=sandbox_tokens,
        style=style,
    )
    return Page(html=html, content_security_policy=f"{CONTENT_SECURITY_POLICY}; style-src 'sha256-{digest}'")
