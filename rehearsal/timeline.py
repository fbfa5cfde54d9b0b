"""The timeline of a rehearsal: which stage and action ran when, for how long, how it ended."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """CodePipeline's own words for the state of an action."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ABANDONED = "Abandoned"


@dataclass(kw_only=True)
class Entry:
    """One action (or one step of the set-up) of one execution."""

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
    """Collects entries, writes them to a file, and tells watchers of every change. Safe between threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._watchers: list[Callable[[Entry], None]] = []
        self._facts: dict[str, object] = {}
        self._begun = time.monotonic()

    def watch(self, watcher: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `watcher` after every change of an entry, until the function that this answers is called."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def plan(self, stage: str, action: str, execution: str) -> Entry:
        """Add an action that is still to come."""
        entry = Entry(stage=stage, action=action, execution=execution)
        with self._lock:
            self._entries.append(entry)
        return entry

    def entries(self) -> list[Entry]:
        """All entries in the order in which they were planned."""
        with self._lock:
            return list(self._entries)

    def begin(self, entry: Entry, log: Path) -> None:
        """The action starts."""
        entry.status, entry.log = Status.IN_PROGRESS, str(log)
        entry.started, entry.begun = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        self._changed(entry)

    def progress(self, entry: Entry, text: str) -> None:
        """What the action is doing now."""
        if entry.progress != text:
            entry.progress = text
            self._tell(entry)

    def end(self, entry: Entry, status: Status, cause: str = "") -> None:
        """The action ends."""
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
        self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        for watcher in tuple(self._watchers):
            watcher(entry)

    def _write(self) -> None:
        entries = [{key: value for key, value in asdict(entry).items() if key != "begun"} for entry in self._entries]
        content = {**self._facts, "seconds": round(time.monotonic() - self._begun, 2), "actions": entries}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".tmp")
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._file)
