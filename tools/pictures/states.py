"""The state machine of payments, from its table and its rules in `domain/`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from payments.domain.operations import CallKind
from payments.domain.outcomes import Outcome
from payments.domain.payments import TRANSITIONS, PaymentStatus
from tools.pictures.course import Trigger, course
from tools.pictures.svg import Box, Canvas, Point, Style, draw_state

_S = PaymentStatus
_OUTCOMES = {
    Outcome.APPROVED: "approved",
    Outcome.DECLINED: "declined",
    Outcome.NOT_DONE: "not done",
    Outcome.REQUIRES_ACTION: "3-D Secure",
}


def _state(x: float, y: float, width: float = 152) -> Box:
    return Box(x=x, y=y, width=width, height=44)


_PLACES: Mapping[PaymentStatus, Box] = {
    _S.PROCESSING: _state(84, 166),
    _S.REQUIRES_CAPTURE: _state(346, 166),
    _S.PARTIALLY_CAPTURED: _state(606, 166, 162),
    _S.SUCCEEDED: _state(784, 166),
    _S.REQUIRES_ACTION: _state(346, 420),
    _S.FAILED: _state(84, 420),
    _S.CANCELED: _state(784, 420),
}
#: The way of each arrow, and where its label begins or is centred.
_WAYS: Mapping[tuple[PaymentStatus, PaymentStatus], tuple[Sequence[Point], Point, str]] = {
    (_S.PROCESSING, _S.SUCCEEDED): (((160, 166), (160, 86), (890, 86), (890, 166)), (525, 78), "middle"),
    (_S.REQUIRES_CAPTURE, _S.SUCCEEDED): (((422, 166), (422, 126), (840, 126), (840, 166)), (631, 118), "middle"),
    (_S.PROCESSING, _S.REQUIRES_CAPTURE): (((236, 188), (346, 188)), (291, 162), "middle"),
    (_S.REQUIRES_CAPTURE, _S.PARTIALLY_CAPTURED): (((498, 188), (606, 188)), (552, 180), "middle"),
    (_S.PARTIALLY_CAPTURED, _S.SUCCEEDED): (((687, 210), (687, 244), (860, 244), (860, 210)), (773, 262), "middle"),
    (_S.REQUIRES_CAPTURE, _S.CANCELED): (((422, 210), (422, 300), (890, 300), (890, 420)), (656, 292), "middle"),
    (_S.PROCESSING, _S.CANCELED): (((210, 210), (210, 330), (840, 330), (840, 420)), (525, 322), "middle"),
    (_S.REQUIRES_ACTION, _S.PROCESSING): (((400, 420), (400, 364), (180, 364), (180, 210)), (300, 356), "middle"),
    (_S.PROCESSING, _S.REQUIRES_ACTION): (((150, 210), (150, 394), (372, 394), (372, 420)), (261, 386), "middle"),
    (_S.PROCESSING, _S.FAILED): (((112, 210), (112, 420)), (104, 310), "end"),
    (_S.REQUIRES_ACTION, _S.FAILED): (((346, 442), (236, 442)), (291, 434), "middle"),
    (_S.REQUIRES_ACTION, _S.CANCELED): (((498, 442), (784, 442)), (641, 434), "middle"),
}


def payment_states() -> str:
    """Return the state machine of payments."""
    canvas = Canvas(
        "States of a payment",
        "Each arrow is a transition that domain/payments.py allows; its label is what leads there.",
        width=960,
        height=508,
    )
    for pair, triggers in course().items():
        points, (x, y), anchor = _WAYS[pair]
        canvas.arrow(*points)
        for number, line in enumerate(_lines(triggers, short=pair in _SHORT)):
            canvas.text(x, y + number * 16, line, size=12, anchor=anchor, style="on")
    canvas.arrow((24, 188), (84, 188))
    canvas.text(24, 176, "POST", size=12, style="muted")
    for status in PaymentStatus:
        final = not TRANSITIONS[status]
        draw_state(canvas, _PLACES[status], status, final=final, style=_style(status, final=final))
    canvas.text(
        24, 492, "Double frame: final. Refunds and disputes leave a payment's state alone.", size=12, style="muted"
    )
    return canvas.render()


#: Arrows too short for their label in one line.
_SHORT = frozenset({(_S.PROCESSING, _S.FAILED), (_S.PROCESSING, _S.REQUIRES_CAPTURE)})


def _style(status: PaymentStatus, *, final: bool) -> Style:
    if not final:
        return Style.BLUE
    return Style.GREEN if status is _S.SUCCEEDED else Style.RED if status is _S.FAILED else Style.AMBER


def _lines(triggers: Iterable[Trigger], *, short: bool) -> list[str]:
    words = list(_words(sorted(triggers)))
    return words if short else [", ".join(words)]


def _words(triggers: Sequence[Trigger]) -> Iterator[str]:
    """Yield what leads along an arrow, as words."""
    kinds: dict[str, list[Trigger]] = {kind: [] for kind in CallKind}
    for trigger in triggers:
        kinds.setdefault(trigger.what, []).append(trigger)
    created, captured, voided = kinds.pop(CallKind.PAYMENT), kinds.pop(CallKind.CAPTURE), kinds.pop(CallKind.VOID)
    yield from (word for outcome, word in _OUTCOMES.items() if outcome in {each.outcome for each in created})
    if len({each.condition for each in created}) == 1:
        yield f"{created[0].condition} capture"
    yield from sorted({f"{each.condition} capture" for each in captured if each.outcome == Outcome.APPROVED})
    yield from sorted({f"void{each.condition}" for each in voided})
    if Outcome.EXPIRED in {each.outcome for each in captured}:
        yield "expired"
    yield from (what for what, found in kinds.items() if found)
