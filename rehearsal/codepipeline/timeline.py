"""The timeline of a rehearsal: which action ran when, for how long, and how it ended."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """The status of an action, as CodePipeline names it."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ABANDONED = "Abandoned"


@dataclass(kw_only=True)
class Entry:
    """One action of one execution, or one step outside the pipeline; `begun` is on the monotonic clock."""

    stage: str
    action: str
    execution: str
    status: Status = Status.PENDING
    started: str | None = None
    seconds: float | None = None
    progress: str = ""
    cause: str = ""
    log: str = ""
    begun: float = field(default=0.0, repr=False)


class Timeline:
    """Collects entries, writes them to a file and notifies observers of every change. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._observers: list[Callable[[Entry], None]] = []
        self._facts: dict[str, object] = {}
        self._begun = time.monotonic()

    def subscribe(self, observer: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `observer` after every change of an entry.

        Returns:
            A function that ends the subscription.

        """
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def plan(self, stage: str, action: str, execution: str) -> Entry:
        """Add a pending action."""
        entry = Entry(stage=stage, action=action, execution=execution)
        with self._lock:
            self._entries.append(entry)
        return entry

    def entries(self) -> list[Entry]:
        """Return all entries in the order in which they were planned."""
        with self._lock:
            return list(self._entries)

    def begin(self, entry: Entry, log: Path) -> None:
        """Mark an action as started."""
        entry.status, entry.log = Status.IN_PROGRESS, str(log)
        entry.started, entry.begun = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        self._changed(entry)

    def progress(self, entry: Entry, text: str) -> None:
        """Set what the action is doing now."""
        if entry.progress != text:
            entry.progress = text
            self._notify(entry)

    def end(self, entry: Entry, status: Status, cause: str = "") -> None:
        """Mark an action as ended."""
        entry.status, entry.cause = status, cause
        if entry.begun:
            entry.seconds = round(time.monotonic() - entry.begun, 2)
        self._changed(entry)

    def record(self, **facts: object) -> None:
        """Add facts about the whole rehearsal (commit, outcome, URLs) to the file."""
        with self._lock:
            self._facts.update(facts)
            self._write()

    def _changed(self, entry: Entry) -> None:
        with self._lock:
            self._write()
        self._notify(entry)

    def _notify(self, entry: Entry) -> None:
        for observer in tuple(self._observers):
            observer(entry)

    def _write(self) -> None:
        entries = [{key: value for key, value in asdict(entry).items() if key != "begun"} for entry in self._entries]
        content = {**self._facts, "seconds": round(time.monotonic() - self._begun, 2), "actions": entries}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".tmp")
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._file)
