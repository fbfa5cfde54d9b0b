"""The output of the commands: a live view in a terminal, plain lines with time stamps otherwise."""

import threading
import time
from collections import deque
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rehearsal.codepipeline.approval import WAITING, ApprovalRequest
from rehearsal.codepipeline.timeline import Entry, Status, Timeline

_LOG_LINES = 25
#: Seconds without a line after which plain lines tell what runs. Looked at as often: nobody waits twice as long.
_QUIET_SECONDS = 5.0
_PROGRESS_CHARACTERS = 100
_SYMBOLS = {
    Status.PENDING: ("·", "dim"),
    Status.SUCCEEDED: ("✔", "green"),
    Status.FAILED: ("✘", "bold red"),
    Status.ABANDONED: ("-", "dim"),
}


class Display(Protocol):
    """Shows the progress of a rehearsal."""

    def start(self) -> None:
        """Start updating."""
        ...

    def stop(self) -> None:
        """Stop updating, so that something else can be printed."""
        ...

    def say(self, text: str) -> None:
        """Print a line."""
        ...

    def ask(self, request: ApprovalRequest) -> bool:
        """Show an approval request and return the decision."""
        ...

    def fail(self, title: str, cause: str, log: Path | None) -> None:
        """Show a failure and the end of its log."""
        ...

    def finish(self, title: str, lines: list[str]) -> None:
        """Show the outcome."""
        ...


class TerminalDisplay:
    """A live view in a terminal."""

    def __init__(self, timeline: Timeline, console: Console) -> None:
        self._timeline, self._console = timeline, console
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="cyan")

    def start(self) -> None:
        """Start updating."""
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True)
        self._live.start()

    def stop(self) -> None:
        """Stop updating, and leave the current state on the screen."""
        if self._live:
            self._live.stop()
            self._live = None
            self._console.print(self._render())

    def say(self, text: str) -> None:
        """Print a line above the live view."""
        (self._live.console if self._live else self._console).print(text, highlight=False, markup=False)

    def ask(self, request: ApprovalRequest) -> bool:
        """Show the request and read y or n."""
        self.stop()
        approved = ask_in_terminal(self._console, request)
        self.start()
        return approved

    def fail(self, title: str, cause: str, log: Path | None) -> None:
        """Show a failure and the end of its log."""
        self.stop()
        if log:
            tail = Text(log_tail(log))
            self._console.print(Panel(tail, title=f"end of {log}", border_style="dim", title_align="left"))
        self._console.print(Panel(Text(cause), title=f"[bold red]{title}", border_style="red", title_align="left"))

    def finish(self, title: str, lines: list[str]) -> None:
        """Show the outcome, without a frame so that commands can be copied."""
        self.stop()
        self._console.rule(f"[bold green]{title}", align="left")
        for line in lines:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        entries = self._timeline.entries()
        newest = entries[-1].execution if entries else ""
        shown = [entry for entry in entries if entry.execution == newest or entry.stage == "Setup"]
        parts = [
            self._stage(stage, list(group), expanded=not _is_uniform(shown, stage))
            for stage, group in groupby(shown, key=lambda entry: entry.stage)
        ]
        return Group(*parts)

    def _stage(self, name: str, entries: list[Entry], *, expanded: bool) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(width=46, no_wrap=True)
        table.add_column(width=9, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis")
        status = _stage_status(entries)
        table.add_row(self._symbol(status), Text(name, style="bold"), _duration(_stage_seconds(entries)), "")
        if expanded:
            for entry in entries:
                detail = entry.cause.splitlines()[0] if entry.cause else ""
                if entry.status is Status.IN_PROGRESS:
                    detail = entry.progress
                row = (Text(f"  {entry.action}"), _duration(entry.seconds), Text(detail, style="dim"))
                table.add_row(self._symbol(entry.status), *row)
        return table

    def _symbol(self, status: Status) -> RenderableType:
        if status is Status.IN_PROGRESS:
            return self._spinner
        symbol, style = _SYMBOLS[status]
        return Text(symbol, style=style)


class PlainDisplay:
    """Lines with time stamps, for logs and pipes."""

    def __init__(self, timeline: Timeline, console: Console, *, quiet_seconds: float = _QUIET_SECONDS) -> None:
        self._timeline, self._console = timeline, console
        self._lock = threading.Lock()
        self._printed: dict[int, Status] = {}
        self._unsubscribe = timeline.subscribe(self._print_change)
        self._last_line = time.monotonic()
        self._closed = threading.Event()
        threading.Thread(target=self._tell_progress, args=(quiet_seconds,), name="progress", daemon=True).start()

    def start(self) -> None:
        """Do nothing: every change prints a line."""

    def stop(self) -> None:
        """Do nothing: every change prints a line."""

    def close(self) -> None:
        """Stop printing changes and progress of the timeline."""
        self._unsubscribe()
        self._closed.set()

    def say(self, text: str) -> None:
        """Print a line with a time stamp."""
        now = datetime.now(UTC).strftime("%H:%M:%S")
        with self._lock:
            self._last_line = time.monotonic()
            self._console.print(f"{now}  {text}", highlight=False, markup=False, soft_wrap=True)

    def ask(self, request: ApprovalRequest) -> bool:
        """Show the request and read y or n; outside a terminal print it and reject."""
        if self._console.is_terminal:
            return ask_in_terminal(self._console, request)
        for line in request_lines(request):
            self.say(line)
        self.say("not in a terminal: rejected (APPROVE=auto approves)")
        return False

    def fail(self, title: str, cause: str, log: Path | None) -> None:
        """Print the end of the log, and the failure last."""
        if log:
            self.say(f"end of {log}:")
            for line in log_tail(log).splitlines():
                self.say(f"  | {line}")
        self.say(f"{title}: {cause}")

    def finish(self, title: str, lines: list[str]) -> None:
        """Print the outcome."""
        self.say(title)
        for line in lines:
            self.say(line)

    def _tell_progress(self, quiet_seconds: float) -> None:
        """Print what runs, whenever nothing else was printed for so long."""
        while not self._closed.wait(quiet_seconds):
            if time.monotonic() - self._last_line < quiet_seconds:
                continue
            for entry in self._timeline.entries():
                if entry.status is Status.IN_PROGRESS and entry.progress != WAITING:
                    log = Path(entry.log)
                    text = entry.progress or (log_tail(log, 1) if log.exists() else "")
                    took = time.monotonic() - entry.begun
                    self.say(f"{entry.stage:<14} {entry.action:<44} {took:.0f} s: {text[:_PROGRESS_CHARACTERS]}")

    def _print_change(self, entry: Entry) -> None:
        """Print a line when an action starts and when it ends."""
        with self._lock:
            if self._printed.get(id(entry)) is entry.status:
                return
            self._printed[id(entry)] = entry.status
        if entry.status is Status.ABANDONED and entry.started is None:
            return
        took = f" ({entry.seconds:.1f} s)" if entry.seconds is not None else ""
        why = f": {entry.cause.splitlines()[0]}" if entry.cause else ""
        self.say(f"{entry.stage:<14} {entry.action:<44} {entry.status}{took}{why}")


def make_display(timeline: Timeline, console: Console) -> Display:
    """Return a live view in a terminal, plain lines otherwise."""
    return TerminalDisplay(timeline, console) if console.is_terminal else PlainDisplay(timeline, console)


def request_lines(request: ApprovalRequest) -> list[str]:
    """Return an approval request as plain text."""
    lines = [f"{request.stage} waits for approval ({request.action})", *request.text.splitlines()]
    lines += [request.link] if request.link else []
    return [*lines, *(f"on this machine: {log}" for log in request.logs)]


def ask_in_terminal(console: Console, request: ApprovalRequest) -> bool:
    """Show the request and read y or n."""
    console.print(approval_panel(request))
    typed = ""
    while typed not in ("y", "yes", "n", "no"):
        typed = console.input("[bold]Approve?[/bold] \\[y/n] ").strip().lower()
    return typed.startswith("y")


def approval_panel(request: ApprovalRequest) -> Panel:
    """Return an approval request for a terminal."""
    _, *lines = request_lines(request)
    title = f"[bold yellow]{request.stage} waits for approval"
    return Panel(Text("\n".join(lines)), title=title, border_style="yellow", title_align="left")


def log_tail(log: Path, lines: int = _LOG_LINES) -> str:
    """Return the last lines of a log file."""
    with log.open(encoding="utf-8", errors="replace") as file:
        return "".join(deque(file, maxlen=lines)).rstrip()


def _is_uniform(entries: list[Entry], stage: str) -> bool:
    """Return whether one line is enough for a stage: all of its actions succeeded, are pending or were abandoned."""
    return {entry.status for entry in entries if entry.stage == stage} in (
        {Status.SUCCEEDED},
        {Status.PENDING},
        {Status.ABANDONED},
    )


def _stage_status(entries: list[Entry]) -> Status:
    statuses = {entry.status for entry in entries}
    for status in (Status.FAILED, Status.IN_PROGRESS):
        if status in statuses:
            return status
    if len(statuses) == 1:
        return statuses.pop()
    return Status.ABANDONED if Status.ABANDONED in statuses else Status.IN_PROGRESS


def _stage_seconds(entries: list[Entry]) -> float | None:
    ended = [entry for entry in entries if entry.seconds is not None]
    if not ended or len(ended) < len(entries):
        return None
    return max(entry.begun + (entry.seconds or 0) for entry in ended) - min(entry.begun for entry in ended)


def _duration(seconds: float | None) -> Text:
    if seconds is None:
        return Text("")
    minutes, rest = divmod(int(seconds), 60)
    return Text(f"{minutes}:{rest:02d} min" if minutes else f"{seconds:.1f} s", style="cyan")
