"""Resolved properties of resources: reading them, and refusing them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: The properties of a resource, with intrinsic functions and dynamic references resolved.
Properties = Mapping[str, Any]

_ARN = re.compile(r"^arn:aws[a-z-]*:[a-z0-9-]+:[^\s,*]*$")
#: Properties with policy documents: an ARN in one is what the resource allows, not what it uses.
_DOCUMENTS = frozenset(
    {"AssumeRolePolicyDocument", "KeyPolicy", "Policies", "Policy", "PolicyDocument", "PolicyText", "ResourcePolicy"}
)


class ResourceError(Exception):
    """An account would refuse the resource, or it failed; the message becomes the reason in the stack event."""


def values_at(value: object, path: str) -> Iterator[str]:
    """Yield the strings at a path (`LoadBalancers.*.AdvancedConfiguration.RoleArn`), if there are any."""
    if not path:
        if isinstance(value, str) and value:
            yield value
        return
    name, _, rest = path.partition(".")
    if name == "*":
        for item in value if isinstance(value, list) else ():
            yield from values_at(item, rest)
    elif isinstance(value, Mapping):
        yield from values_at(value.get(name), rest)


def value_at(value: object, path: str) -> str | None:
    """Return the first string at a path; None without one."""
    return next(values_at(value, path), None)


def has(properties: Properties, path: str) -> bool:
    """Return whether a path without lists has a value that is not empty."""
    found: object = properties
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found not in (None, "", [], {}, False, "false")


def arns_in(properties: object) -> list[str]:
    """Return every ARN in the properties, except in policy documents."""
    return list(dict.fromkeys(_arns(properties)))


def service_of(arn: str) -> str:
    """Return the service of an ARN."""
    return arn.split(":")[2]


def _arns(value: object) -> Iterator[str]:
    if isinstance(value, str) and _ARN.match(value):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in _DOCUMENTS:
                yield from _arns(item)
    elif isinstance(value, list):
        for item in value:
            yield from _arns(item)
