"""Examples in the OpenAPI document, generated from the schemas' own examples, so none is missing or wrong."""

from collections.abc import Mapping
from typing import Any

_SCALARS: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": False, "null": None}


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow the references of ``schema``; siblings of a reference take precedence."""
    while "$ref" in schema:
        target: Any = document
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def sample(document: Mapping[str, Any], schema: Mapping[str, Any], *, is_request: bool) -> object:
    """Return a value that ``schema`` accepts. A request omits fields with a default; a response has all of them."""
    schema = resolve(document, schema)
    values = [*schema.get("examples", ()), *(schema[name] for name in ("const", "default") if name in schema)]
    values += schema.get("enum", ())
    if values:
        return values[0]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        return sample(document, choice, is_request=is_request)
    if "items" in schema:
        return [sample(document, schema["items"], is_request=is_request)]
    if schema.get("type") == "object":
        return _fields(document, schema, is_request=is_request)
    return schema.get("minimum", _SCALARS.get(str(schema.get("type"))))


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], *, is_request: bool) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    return {
        name: sample(document, field, is_request=is_request)
        for name, field in schema.get("properties", {}).items()
        if not is_request or name in required or "examples" in field
    }


def add(document: dict[str, Any]) -> None:
    """Add an example to every request body and response of ``document`` that has none."""
    for item in document["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _add(document, content, is_request=True)
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    _add(document, content, is_request=False)


def _add(document: Mapping[str, Any], content: dict[str, Any], *, is_request: bool) -> None:
    if "schema" in content and not content.keys() & {"example", "examples"}:
        content["example"] = sample(document, content["schema"], is_request=is_request)
