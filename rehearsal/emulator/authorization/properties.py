"""Reading the resolved properties of a resource."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Properties = Mapping[str, Any]

_ARN = re.compile(r"^arn:aws[a-z-]*:[a-z0-9-]+:[^\s,*]*$")
_DOCUMENTS = frozenset(
    {"AssumeRolePolicyDocument", "KeyPolicy", "Policies", "Policy", "PolicyDocument", "PolicyText", "ResourcePolicy"}
)
"""Properties that hold policies: an ARN in one is what the resource will allow, not what the resource uses."""


def values_at(value: object, path: str) -> Iterator[str]:
    """Yield the strings at a path (`LoadBalancers.*.AdvancedConfiguration.RoleArn`); nothing where it leads nowhere."""
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
    """Return the first string at a path."""
    return next(values_at(value, path), None)


def has(properties: Properties, path: str) -> bool:
    """Tell whether anything but an empty value stands at a path without lists."""
    found: object = properties
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found not in (None, "", [], {}, False, "false")


def arns_in(properties: object) -> list[str]:
    """Return every ARN that the properties hold, those inside policy documents aside."""
    return list(dict.fromkeys(_arns(properties)))


def service_of(arn: str) -> str:
    """Return the service in an ARN."""
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
