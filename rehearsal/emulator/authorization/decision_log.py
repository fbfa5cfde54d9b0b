"""The log of decisions: each call once, with its count."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rehearsal.emulator.authorization.calls import AccessDeniedError, Call, Decision


class DecisionLog:
    """Every decision since the emulator started; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decisions: dict[tuple[str, bool], Decision] = {}
        self._sources: dict[tuple[str, bool], set[str]] = {}
        self._counts: Counter[tuple[str, bool]] = Counter()
        self._undecided: Counter[str] = Counter()

    def add(self, decision: Decision, *, by: str) -> None:
        """Log a decision; `by` is the origin of the call."""
        key = (decision.call.key(), decision.allowed)
        with self._lock:
            self._decisions.setdefault(key, decision)
            self._sources.setdefault(key, set()).add(by)
            self._counts[key] += 1

    def add_undecided(self, what: str) -> None:
        """Log a request that no policy decided, because the engine knows no action for it."""
        with self._lock:
            self._undecided[what] += 1

    def entries(self) -> list[dict[str, Any]]:
        """Return every decided call, in the order of the first decisions, as JSON."""
        with self._lock:
            return [
                {
                    **call_to_json(decision.call),
                    "allowed": decision.allowed,
                    "reason": decision.reason if decision.allowed else str(AccessDeniedError(decision)),
                    "by": sorted(self._sources[key]),
                    "count": self._counts[key],
                }
                for key, decision in self._decisions.items()
            ]

    def undecided(self) -> Mapping[str, int]:
        """Return the undecided requests with their counts."""
        with self._lock:
            return dict(self._undecided)


def call_to_json(call: Call) -> dict[str, Any]:
    """Return a call as JSON."""
    return {
        "principal": call.principal,
        "action": call.action,
        "resource": call.resource,
        "context": dict(call.context),
    }


def call_from_json(value: Mapping[str, Any]) -> Call:
    """Return the call that JSON represents."""
    return Call(
        principal=value["principal"],
        action=value["action"],
        resource=value.get("resource", "*"),
        context=value.get("context", {}),
    )
