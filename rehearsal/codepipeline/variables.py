"""Variables of a pipeline execution: `#{namespace.key}` in action configurations.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-variables.html
"""

import re
import threading
from collections.abc import Mapping

_REFERENCE = re.compile(r"#\{([\w@.-]+)\.([\w-]+)\}")


class UnknownVariableError(Exception):
    """An action configuration refers to a variable that no earlier action exported."""


class Variables:
    """The exported variables of one execution, by namespace. Safe for actions that run in parallel."""

    def __init__(self, execution: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._namespaces: dict[str, dict[str, str]] = {"codepipeline": dict(execution)}

    def export(self, namespace: str, values: Mapping[str, str]) -> None:
        """Add the output variables of an action under its namespace."""
        with self._lock:
            self._namespaces.setdefault(namespace, {}).update(values)

    def resolve(self, text: str) -> str:
        """Replace every `#{namespace.key}` by its value.

        Raises:
            UnknownVariableError: A variable is unknown; the message lists the known ones.

        """
        return _REFERENCE.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        namespace, key = match.groups()
        with self._lock:
            exported = self._namespaces.get(namespace)
            if exported is not None and key in exported:
                return exported[key]
            what, known = ("namespaces", self._namespaces) if exported is None else (f"keys of {namespace}", exported)
            raise UnknownVariableError(
                f"no earlier action exported the variable {match.group(0)}; known {what}: {sorted(known)}"
            )
