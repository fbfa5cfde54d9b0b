"""What was decided, each call once with its count, so that a rehearsal can be summed up and decided again."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rehearsal.emulator.authorization.calls import AccessDeniedError, Call, Decision


class Journal:
    """Every decision since the emulator started; safe to use from many threads.

    `by` says who asked: a request to an API, CloudFormation for a resource, or a service in its own name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decisions: dict[tuple[str, bool], Decision] = {}
        self._sources: dict[tuple[str, bool], set[str]] = {}
        self._counts: Counter[tuple[str, bool]] = Counter()
        self._undecided: Counter[str] = Counter()

    def add(self, decision: Decision, *, by: str) -> None:
        """Remember a decision."""
        key = (decision.call.key(), decision.allowed)
        with self._lock:
            self._decisions.setdefault(key, decision)
            self._sources.setdefault(key, set()).add(by)
            self._counts[key] += 1

    def add_undecided(self, what: str) -> None:
        """Remember a request that no policy decided, because the engine knows no action for it."""
        with self._lock:
            self._undecided[what] += 1

    def entries(self) -> list[dict[str, Any]]:
        """Return every call in the order of its first decision, as JSON."""
        with self._lock:
            return [
                {
                    **call_as_json(decision.call),
                    "allowed": decision.allowed,
                    "reason": decision.reason if decision.allowed else str(AccessDeniedError(decision)),
                    "by": sorted(self._sources[key]),
                    "count": self._counts[key],
                }
                for key, decision in self._decisions.items()
            ]

    def undecided(self) -> Mapping[str, int]:
        """Return the requests without a decision, with their counts."""
        with self._lock:
            return dict(self._undecided)


def call_as_json(call: Call) -> dict[str, Any]:
    """Return a call in the form that `call_from_json` reads."""
    return {
        "principal": call.principal,
        "action": call.action,
        "resource": call.resource,
        "context": dict(call.context),
    }


def call_from_json(value: Mapping[str, Any]) -> Call:
    """Return the call that JSON describes."""
    return Call(
        principal=value["principal"],
        action=value["action"],
        resource=value.get("resource", "*"),
        context=value.get("context", {}),
    )
