"""The state machine of disputes, from its table in `domain/disputes.py`."""

from collections.abc import Mapping, Sequence

from payments.domain.disputes import CLOSED, TRANSITIONS, DisputeStatus
from tools.pictures.svg import Box, Canvas, Point, Style, draw_state

_S = DisputeStatus
_WIDTH = 212


def _state(x: float, y: float, width: float = _WIDTH) -> Box:
    return Box(x=x, y=y, width=width, height=44)


#: States that lead to the same states, and to each other where that is possible.
_GROUPS: Mapping[str, tuple[Box, Mapping[DisputeStatus, Box]]] = {
    "Inquiry: a question, no money moved": (
        Box(x=24, y=78, width=252, height=184),
        {_S.WARNING_NEEDS_RESPONSE: _state(44, 114), _S.WARNING_UNDER_REVIEW: _state(44, 202)},
    ),
    "Dispute: the money is withdrawn": (
        Box(x=374, y=78, width=252, height=184),
        {_S.NEEDS_RESPONSE: _state(394, 114), _S.UNDER_REVIEW: _state(394, 202)},
    ),
    "Decided": (
        Box(x=744, y=78, width=192, height=268),
        {_S.WON: _state(766, 114, 148), _S.LOST: _state(766, 198, 148), _S.PREVENTED: _state(766, 282, 148)},
    ),
    "Inquiry closed": (
        Box(x=24, y=328, width=252, height=96),
        {_S.WARNING_CLOSED: _state(44, 362)},
    ),
}
_INQUIRY, _DISPUTE, _DECIDED, _CLOSED = _GROUPS
#: The way of the arrow from each state of one group to each of another.
_WAYS: Mapping[tuple[str, str], Sequence[Point]] = {
    (_INQUIRY, _DISPUTE): ((276, 170), (374, 170)),
    (_INQUIRY, _CLOSED): ((150, 262), (150, 328)),
    (_INQUIRY, _DECIDED): ((150, 78), (150, 56), (840, 56), (840, 78)),
    (_DISPUTE, _DECIDED): ((626, 170), (744, 170)),
    (_CLOSED, _DISPUTE): ((276, 358), (500, 358), (500, 262)),
    (_CLOSED, _DECIDED): ((276, 398), (840, 398), (840, 346)),
}


def dispute_states() -> str:
    """Return the state machine of disputes.

    Raises:
        ValueError: The groups drawn here are no longer those of the table.
    """
    canvas = Canvas(
        "States of a dispute",
        "Each arrow is a transition that domain/disputes.py allows: from every state of one frame to every state of "
        "the other. The processor decides; its states are followed, whatever was missed in between.",
        width=960,
        height=470,
    )
    places = {status: box for _, states in _GROUPS.values() for status, box in states.items()}
    drawn: set[tuple[DisputeStatus, DisputeStatus]] = set()
    for (source, target), way in _WAYS.items():
        drawn |= {(before, after) for before in _GROUPS[source][1] for after in _GROUPS[target][1]}
        canvas.arrow(*way)
    for name, (frame, states) in _GROUPS.items():
        canvas.box(frame, Style.FRAME, dashed=True)
        canvas.text(frame.x + 12, frame.y + 24, name, size=12, style="muted")
        for status, box in states.items():
            draw_state(canvas, box, status, final=not TRANSITIONS[status], style=_style(status))
    for first, second in ((_S.WARNING_NEEDS_RESPONSE, _S.WARNING_UNDER_REVIEW), (_S.NEEDS_RESPONSE, _S.UNDER_REVIEW)):
        drawn |= {(first, second), (second, first)}
        upper, lower = places[first], places[second]
        x = upper.middle[0]
        canvas.arrow((x - 14, upper.bottom), (x - 14, lower.y))
        canvas.arrow((x + 14, lower.y), (x + 14, upper.bottom))
    table = {(before, after) for before, targets in TRANSITIONS.items() for after in targets}
    if drawn != table:
        wrong = ", ".join(sorted(f"{before} to {after}" for before, after in drawn ^ table))
        raise ValueError(f"Draw what domain/disputes.py says of {wrong}, in tools/pictures/disputes.py.")
    closing = ", ".join(status for status in DisputeStatus if status in CLOSED)
    canvas.text(24, 452, f"Double frame: final. Sent as dispute.closed: {closing}.", size=12, style="muted")
    return canvas.render()


def _style(status: DisputeStatus) -> Style:
    if status not in CLOSED:
        return Style.BLUE
    return Style.GREEN if status is _S.WON else Style.RED if status is _S.LOST else Style.AMBER
