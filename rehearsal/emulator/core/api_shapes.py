"""Conversion of template properties into the arguments of API calls."""

from collections.abc import Mapping
from typing import Any

from botocore.client import BaseClient
from botocore.model import ListShape, MapShape, Shape, StructureShape

from rehearsal.emulator.core.properties import Properties, ResourceError


def to_api(client: BaseClient, operation: str, properties: Properties) -> dict[str, Any]:
    """Convert properties to the names and types of an operation's arguments.

    Templates write `ContainerDefinitions` and `"256"` where the API has `containerDefinitions` and `256`; keys of maps
    (log options, labels) are unchanged.

    Raises:
        ResourceError: The operation does not have a property.

    """
    shape = client.meta.service_model.operation_model(operation).input_shape
    converted: dict[str, Any] = _convert(properties, shape, operation)
    return converted


def api_names(client: BaseClient, operation: str) -> frozenset[str]:
    """Return the names of an operation's arguments in lower case."""
    shape = client.meta.service_model.operation_model(operation).input_shape
    return frozenset(name.lower() for name in shape.members) if shape else frozenset()


def _convert(value: Any, shape: Shape | None, path: str) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(value, shape, path)
    if isinstance(shape, ListShape):
        return [_convert(item, shape.member, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(shape, MapShape):
        return {key: _convert(item, shape.value, f"{path}.{key}") for key, item in value.items()}
    return _scalar(value, shape.type_name if shape else "string")


def _structure(value: object, shape: StructureShape, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ResourceError(f"Properties validation failed: {path} must be an object, not {value!r}")
    names = {name.lower(): name for name in shape.members}
    converted = {}
    for key, item in value.items():
        name = names.get(key.lower())
        if name is None:
            raise ResourceError(f"Properties validation failed: {path}: extraneous key [{key}] is not permitted")
        converted[name] = _convert(item, shape.members[name], f"{path}.{key}")
    return converted


def _scalar(value: Any, kind: str) -> object:
    if kind in {"integer", "long"}:
        return int(value)
    if kind in {"float", "double"}:
        return float(value)
    if kind == "boolean":
        return str(value).lower() == "true"
    return str(value) if isinstance(value, (int, float)) else value
