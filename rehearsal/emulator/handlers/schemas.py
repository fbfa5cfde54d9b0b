"""Properties checked against the resource type's schema, which the emulator does not read.

CloudFormation refuses a property that the schema does not know, one that is missing and a value outside its
enumeration; here a typing mistake would otherwise be ignored. The schemas are those that cfn-lint brings, so that both
agree.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rehearsal.emulator.client import REGION
from rehearsal.emulator.handlers.base import Properties, ResourceError


def refuse_invalid(type_name: str, properties: Properties) -> None:
    """Raise `ResourceError` when resolved properties do not fit the schema of their type."""
    schema = _schema(type_name)
    problems = list(_problems(properties, schema, schema, "#"))
    if problems:
        raise ResourceError(f"Properties validation failed for {type_name}: {'; '.join(problems)}")


@cache
def _index() -> tuple[Path, Mapping[str, str]]:
    """Return where cfn-lint keeps its schemas, and the file name of each type's.

    The files are read as they are, because importing cfn-lint takes seconds and sixty megabytes.
    """
    package = importlib.util.find_spec("cfnlint")
    assert package is not None  # noqa: S101  a pinned requirement
    assert package.origin is not None  # noqa: S101
    folder = Path(package.origin).parent / "data" / "schemas"
    index: Mapping[str, str] = json.loads((folder / "providers" / f"{REGION}.json").read_text(encoding="utf-8"))
    return folder / "resources", index


@cache
def _schema(type_name: str) -> Mapping[str, Any]:
    """Return a type's schema; an empty one, which refuses nothing, for types without one (custom resources)."""
    folder, index = _index()
    if type_name not in index:
        return {}
    schema: Mapping[str, Any] = json.loads((folder / f"{index[type_name]}.json").read_text(encoding="utf-8"))
    return schema


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
    """Follow references to the schema's own definitions."""
    while str(schema.get("$ref", "")).startswith("#/definitions/"):
        schema = root.get("definitions", {}).get(schema["$ref"].rsplit("/", 1)[-1], {})
    return schema
