"""JSON Schema in words: the type of a value, and its limits as people say them."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Resolve = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # Any: JSON


def type_of(schema: Mapping[str, Any], resolve: Resolve) -> str:
    """Return the type of ``schema``, such as "string or null" or "list of objects"."""
    schema = resolve(schema)
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if choices:
        return " or ".join(dict.fromkeys(type_of(choice, resolve) for choice in choices))
    if "items" in schema:
        return f"list of {type_of(schema['items'], resolve)}s"
    if "const" in schema and "type" not in schema:
        return {str: "string", bool: "boolean", int: "integer"}.get(type(schema["const"]), "any")
    plain = schema.get("type", "object" if "properties" in schema or "allOf" in schema else "any")
    return " or ".join(plain) if isinstance(plain, list) else str(plain)


def limits(schema: Mapping[str, Any], resolve: Resolve) -> str:
    """Return what a value of ``schema`` is limited to, and its default, as Markdown sentences.

    Patterns are left to the OpenAPI document and to descriptions: nobody reads them.
    """
    schema = resolve(schema)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        schema = {**resolve(choice), **schema} if resolve(choice).get("type") != "null" else schema
    sentences = [_choices(schema)]
    if "items" in schema:
        sentences.append(_choices(resolve(schema["items"]), each="Each is one"))
    sentences += [
        _range(schema.get("minimum"), schema.get("maximum"), ""),
        _range(schema.get("minLength"), schema.get("maxLength"), " character"),
        _range(schema.get("minItems"), schema.get("maxItems"), " item"),
        _range(schema.get("minProperties"), schema.get("maxProperties"), " field"),
    ]
    if schema.get("default") is not None:
        sentences.append(f"Default: {_code(schema['default'])}.")
    return " ".join(filter(None, sentences))


def _choices(schema: Mapping[str, Any], *, each: str = "One") -> str:
    values: Sequence[object] = schema.get("enum", ())
    if "const" in schema:
        return f"Always {_code(schema['const'])}."
    return f"{each} of {', '.join(map(_code, values))}." if values else ""


def _code(value: object) -> str:
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(_whole(value))}`"


def _whole(value: object) -> object:
    """Return an integer as one: the library writes some as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _range(low: float | None, high: float | None, unit: str) -> str:
    """Return "1 to 255 characters.", "Up to 50 fields." or "At least 1."."""
    if low is None and high is None:
        return ""
    if high is None:
        return f"At least {_whole(low):,}{unit}{_plural(unit, low)}."
    start = "Up to" if low is None or (low == 0 and unit) else f"{_whole(low):,} to"
    return f"{start} {_whole(high):,}{unit}{_plural(unit, high)}."


def _plural(unit: str, number: float | None) -> str:
    return "s" if unit and number != 1 else ""
