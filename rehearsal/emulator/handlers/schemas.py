"""Validation of properties by the schema of their type, which the emulator does not do.

CloudFormation refuses unknown properties, missing ones and values outside an enumeration; otherwise a typo would be
ignored here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.core.resource_schemas import schema_of


def refuse_invalid(type_name: str, properties: Properties) -> None:
    """Refuse properties that do not match the schema of their type.

    Raises:
        ResourceError: They do not; the message lists all problems.

    """
    schema = schema_of(type_name)
    problems = list(_problems(properties, schema, schema, "#"))
    if problems:
        raise ResourceError(f"Properties validation failed for {type_name}: {'; '.join(problems)}")


def _problems(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[str]:
    schema = _resolved(schema, root)
    if "enum" in schema and isinstance(value, str) and value not in schema["enum"]:
        yield f"{path}: {value} is not a valid enum value"
    if isinstance(value, Mapping):
        yield from _object_problems(value, schema, root, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, schema.get("items", {}), root, f"{path}/{index}")


def _object_problems(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[str]:
    known: Mapping[str, Any] = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}: required key [{name}] not found"
    for name, item in value.items():
        if name in known:
            yield from _problems(item, known[name], root, f"{path}/{name}")
        elif closed:
            yield f"{path}: extraneous key [{name}] is not permitted"


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that references to definitions lead to."""
    while str(schema.get("$ref", "")).startswith("#/definitions/"):
        schema = root.get("definitions", {}).get(schema["$ref"].rsplit("/", 1)[-1], {})
    return schema
