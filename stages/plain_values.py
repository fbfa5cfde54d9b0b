"""Plain values of `cdk.json` and of `-c key=value`, read as what the fields of a configuration want.

`-c` knows only text, so text is taken for numbers, truth values and lists.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


class ConfigurationError(ValueError):
    """A configuration that cannot work. The message says which key, why, and what to do."""


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Type of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    return {item.name: hints[item.name] for item in dataclasses.fields(cls)}


def read_value(where: str, key: str, value: Any, wanted: Any) -> Any:
    """Read the plain value of `key` as the type that its field wants.

    Raises:
        ConfigurationError: it is nothing of that type.
    """
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if value is None and type(None) in kinds:
        return None
    kind = next(kind for kind in kinds if kind is not type(None))
    reader = _READERS.get(typing.get_origin(kind) or kind, _text)
    try:
        return reader(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"environment {where}: {key}: {value!r} is not {_KINDS[reader]}.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[_text(value)] if value in ("true", "false") else _refuse()


def _refuse() -> bool:
    raise ValueError


def _texts(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise TypeError
    return tuple(_text(item).strip() for item in items)


_READERS: Mapping[Any, Any] = {int: _integer, float: _number, bool: _truth, tuple: _texts}
_KINDS: Mapping[Any, str] = {
    _text: "text",
    _integer: "a whole number",
    _number: "a number",
    _truth: "true or false",
    _texts: "a list of texts",
}
