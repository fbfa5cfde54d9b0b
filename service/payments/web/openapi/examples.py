"""Examples in the OpenAPI document: made from the schemas' own examples, so that none is missing and none is wrong."""

from collections.abc import Mapping
from typing import Any

_SCALARS: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": False, "null": None}


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """``schema`` with its references followed; what stands next to a reference wins."""
    while "$ref" in schema:
        found: Any = document
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def sample(document: Mapping[str, Any], schema: Mapping[str, Any], *, is_request: bool) -> Any:
    """A value that ``schema`` accepts. A request leaves out what has a default; an answer has every member."""
    schema = resolve(document, schema)
    given = [*schema.get("examples", ()), *(schema[name] for name in ("const", "default") if name in schema)]
    given += schema.get("enum", ())
    if given:
        return given[0]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        return sample(document, choice, is_request=is_request)
    if "items" in schema:
        return [sample(document, schema["items"], is_request=is_request)]
    if schema.get("type") == "object":
        return _members(document, schema, is_request=is_request)
    return schema.get("minimum", _SCALARS.get(str(schema.get("type"))))


def _members(document: Mapping[str, Any], schema: Mapping[str, Any], *, is_request: bool) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    return {
        name: sample(document, member, is_request=is_request)
        for name, member in schema.get("properties", {}).items()
        if not is_request or name in required or "examples" in member
    }


def add(document: dict[str, Any]) -> None:
    """Give every body and answer of ``document`` that has none an example."""
    for item in document["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _add(document, content, is_request=True)
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    _add(document, content, is_request=False)


def _add(document: Mapping[str, Any], content: dict[str, Any], *, is_request: bool) -> None:
    if "schema" in content and not content.keys() & {"example", "examples"}:
        content["example"] = sample(document, content["schema"], is_request=is_request)
