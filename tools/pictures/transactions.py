"""The two transactions around a processor call, and what becomes of a request whose process dies between them.

What is written here is compared with a payment that is really made, and with the crashes that the tests cause.
"""

import textwrap
from collections.abc import Mapping, Sequence

from payments.domain.operations import KEY_LEASE
from tools.pictures.svg import Box, Canvas, Style

#: The tables that each transaction of an approved payment writes, in the order of the picture.
TABLES: Mapping[str, Sequence[str]] = {
    "Tx1": ("idempotency_keys", "payments", "attempts"),
    "Tx2": ("payments", "attempts", "ledger_transfers", "events", "idempotency_keys"),
}
#: Where a process can die, from above.
CRASHES = (
    "before Tx1 commits",
    "after Tx1, before the call",
    "after the call, before Tx2",
    "before Tx2 commits",
    "after Tx2, before the response",
)
#: What holds then, and which of these points are told together.
_NOTES: Sequence[tuple[str, str, Sequence[int]]] = (
    ("Nothing was started.", "A repetition is the first execution.", (0,)),
    (
        "The outcome is open.",
        (
            f"A repetition gets 409 while the key's lease of {KEY_LEASE.total_seconds():.0f} s lasts, then 202: "
            "never a second execution. The worker asks the processor what became of the attempt, sends it again if the "
            "processor has never seen it, and writes Tx2."
        ),
        (1, 2, 3),
    ),
    ("All is done.", "A repetition gets the stored response.", (4,)),
)
_CRASH_Y = (248, 306, 386, 546, 604)
_CLIENT, _API, _DATABASE, _PROCESSOR, _TEXT = 70, 222, 440, 596, 684
_BOTTOM = 658


def two_transactions() -> str:
    """Return the sequence of a payment."""
    canvas = Canvas(
        "One payment, two transactions, and no open transaction while the processor is called",
        "The sequence of POST /v1/payments: Tx1 is committed before the processor is called, Tx2 after its answer. "
        f"The process can die {', '.join(CRASHES)}; on the right is what holds then.",
        width=960,
        height=704,
    )
    for x, name in ((_CLIENT, "client"), (_API, "api"), (_DATABASE, "PostgreSQL"), (_PROCESSOR, "processor")):
        canvas.arrow((x, 92), (x, _BOTTOM), dashed=True, head=False)
        canvas.box(Box(x=x - 52, y=58, width=104, height=34), Style.BLUE, (name,))
    _message(canvas, 124, _CLIENT, _API, "POST")
    _transaction(canvas, 140, "Tx1", "writes", [f"+ {table}" for table in TABLES["Tx1"]])
    _message(canvas, 284, _API, _DATABASE, "COMMIT")
    _message(canvas, 340, _API, _PROCESSOR, "authorize")
    _message(canvas, 366, _PROCESSOR, _API, "approved", dashed=True)
    _transaction(canvas, 404, "Tx2", "locks, then writes", [_written(table) for table in TABLES["Tx2"]])
    _message(canvas, 582, _API, _DATABASE, "COMMIT")
    _message(canvas, 636, _API, _CLIENT, "201", dashed=True)
    canvas.text(
        24, 684, "+ inserts, ~ updates. Each transaction is one COMMIT: all of it, or nothing.", size=12, style="muted"
    )
    _crashes(canvas)
    return canvas.render()


def _written(table: str) -> str:
    return f"{'~' if table in TABLES['Tx1'] else '+'} {table}"


def _message(canvas: Canvas, y: float, source: float, target: float, text: str, *, dashed: bool = False) -> None:
    canvas.arrow((source, y), (target, y), dashed=dashed)
    nearest = (source + target) / 2 if abs(source - target) < 300 else _DATABASE - 109
    canvas.text(nearest, y - 6, text, size=12, anchor="middle", style="on")


def _transaction(canvas: Canvas, y: float, name: str, what: str, lines: Sequence[str]) -> None:
    frame = Box(x=_API + 14, y=y, width=_DATABASE - _API - 28, height=36 + 18 * len(lines))
    canvas.box(frame, Style.GREEN)
    canvas.text(frame.x + 12, y + 22, name, bold=True)
    canvas.text(frame.x + 46, y + 22, what, size=12, style="muted")
    for number, line in enumerate(lines):
        canvas.text(frame.x + 12, y + 42 + 18 * number, line, size=12, mono=True)


def _crashes(canvas: Canvas) -> None:
    canvas.text(_TEXT, 80, "If the process dies at \N{MULTIPLICATION X}", bold=True)
    for y in _CRASH_Y:
        canvas.arrow((_API + 12, y), (_TEXT - 14, y), dashed=True, head=False)
        canvas.text(_API, y + 6, "\N{MULTIPLICATION X}", size=17, anchor="middle", style="warn on")
    for name, text, points in _NOTES:
        first, last = _CRASH_Y[points[0]], _CRASH_Y[points[-1]]
        lines = textwrap.wrap(text, 40)
        top = (first + last) / 2 - len(lines) * 8.5 + 5
        if len(points) > 1:
            canvas.arrow((_TEXT - 14, first), (_TEXT - 14, last), head=False)
        canvas.text(_TEXT, top, name, bold=True, size=12)
        for number, line in enumerate(lines, start=1):
            canvas.text(_TEXT, top + 17 * number, line, size=12)
