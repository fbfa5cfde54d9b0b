"""What clients did and were told: the history of each payment, which the checks explain or refute."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

#: For operations whose answer never arrived: their effect may come at any time.
NEVER = float("inf")
#: A JSON object of the API.
Json = dict[str, Any]  # Any: JSON


class Verdict(Enum):
    """How an operation ended for its client."""

    #: 200, 201 or 402, kept under the key.
    FINAL = "final"
    #: 404, 409 or 422: nothing was begun, nothing is kept under the key.
    REFUSED = "refused"
    #: What a GET shows.
    SEEN = "seen"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One operation of one client on one payment, from its first request to its final answer."""

    kind: str
    #: Seconds on this machine's monotonic clock.
    invoked: float
    returned: float
    verdict: Verdict
    status: int
    #: The body that was sent.
    arguments: Mapping[str, Any]
    body: Json
    #: As received, to be compared with replays.
    text: str = ""
    path: str = ""
    key: str = ""
    #: Whether a request of it was left without an answer: if the operation was refused in the end, that request may
    #: still have been carried out, or may yet be.
    unanswered: bool = False
    #: How many requests it took.
    requests: int = 1

    def __str__(self) -> str:
        shown = ("status", "amount_captured", "amount_refunded", "amount_refund_pending", "pending_operation", "code")
        answer = {name: self.body[name] for name in shown if self.body.get(name) is not None}
        asked = {name: value for name, value in self.arguments.items() if name not in ("reference", "currency")}
        return f"{self.kind} {asked} -> {self.status} {answer} after {self.requests} requests, key {self.key or '-'}"


@dataclass(kw_only=True)
class History:
    """Everything that happened to one payment, in the order in which it ended."""

    #: Also the payment's `reference`, so that it can be found however often it was made.
    name: str
    merchant: int
    payment_id: str = ""
    entries: list[Entry] = field(default_factory=list)
    #: Promises that broke while the clients were at work.
    broken: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Entry) -> Entry:
        """Append an entry."""
        with self._lock:
            self.entries.append(entry)
        return entry

    def breaks(self, what: str) -> None:
        """Note that a promise broke."""
        with self._lock:
            self.broken.append(what)

    def story(self, started: float) -> str:
        """Return what happened, one line for each entry, with the seconds since the start of the storm."""
        ordered = sorted(self.entries, key=lambda entry: entry.invoked)
        lines = [f"{e.invoked - started:6.2f}s to {_until(e.returned, started)} {e}" for e in ordered]
        return "\n".join([f"payment {self.payment_id or '(unknown)'}, {self.name}:", *lines])


def _until(moment: float, started: float) -> str:
    return "the end" if moment == NEVER else f"{moment - started:6.2f}s"


def now() -> float:
    """Return the time by which histories are ordered."""
    return time.monotonic()
