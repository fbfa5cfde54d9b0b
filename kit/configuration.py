"""Parsing of configuration values from `cdk.json` and from `-c key=value`.

`-c` passes text only, so text is accepted for numbers, booleans and lists.
"""

import contextlib
import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any  # configuration values are untyped JSON, and their types are found by reflection

Parser = tuple[str, tuple[type, ...], Callable[[Any], Any]]


class ConfigurationError(ValueError):
    """An invalid configuration. The message says which key is wrong, why, and what to do."""


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Return the type of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    return {item.name: hints[item.name] for item in dataclasses.fields(cls)}


def parse_value(where: str, value: Any, field_type: Any) -> Any:
    """Parse a plain value as the type of its field.

    Raises:
        ConfigurationError: The value is not of that type; the message starts with `where`.
    """
    alternatives = typing.get_args(field_type) if isinstance(field_type, types.UnionType) else (field_type,)
    if value is None and types.NoneType in alternatives:
        return None
    kind = typing.get_origin(alternatives[0]) or alternatives[0]
    description, accepted, parse = _PARSERS.get(kind, _PARSERS[str])
    if isinstance(value, accepted) and (kind is bool or not isinstance(value, bool)):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return parse(value)
    raise ConfigurationError(f"{where}: {value!r} is not {description}.")


def reject_unknown_keys(where: str, keys: Collection[str], known: Collection[str]) -> None:
    """Reject keys that are not known.

    Raises:
        ConfigurationError: Naming the unknown keys and the known ones.
    """
    unknown = sorted(set(keys) - set(known))
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {', '.join(unknown)}. Known keys: {', '.join(sorted(known))}.")


def _split(value: str | list[Any]) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not all(isinstance(item, str) for item in items):
        raise TypeError
    return tuple(item.strip() for item in items)


#: Field type to a description for messages, the accepted types of plain values, and the conversion.
_PARSERS: Mapping[Any, Parser] = {
    str: ("text", (str,), str),
    int: ("a whole number", (int, str), int),
    float: ("a number", (int, float, str), float),
    bool: ("true or false", (bool, str), lambda value: {True: True, "true": True, False: False, "false": False}[value]),
    tuple: ("a list of texts", (str, list, tuple), _split),
}
