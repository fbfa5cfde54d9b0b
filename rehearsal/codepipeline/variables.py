"""Variables of a pipeline execution: `#{namespace.key}` in action configurations.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-variables.html
"""

import re
import threading
from collections.abc import Mapping

_REFERENCE = re.compile(r"#\{([\w@.-]+)\.([\w-]+)\}")


class UnknownVariableError(Exception):
    """A configuration refers to a variable that no earlier action has produced."""


class Variables:
    """What the actions of one execution have exported, by namespace. Safe to use from actions that run side by side."""

    def __init__(self, execution: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._namespaces: dict[str, dict[str, str]] = {"codepipeline": dict(execution)}

    def export(self, namespace: str, values: Mapping[str, str]) -> None:
        """Add what an action produced under its namespace."""
        with self._lock:
            self._namespaces.setdefault(namespace, {}).update(values)

    def resolve(self, text: str) -> str:
        """Replace every `#{namespace.key}`; an unknown one raises `UnknownVariableError` and names what is known."""
        return _REFERENCE.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        namespace, key = match.groups()
        with self._lock:
            known = self._namespaces.get(namespace)
            if known is None or key not in known:
                there = sorted(known) if known is not None else sorted(self._namespaces)
                what = f"variables of {namespace}" if known is not None else "namespaces"
                msg = f"variable {match.group(0)} was not exported by any earlier action; known {what}: {there}"
                raise UnknownVariableError(msg)
            return known[key]
