"""SVG pictures: boxes, texts and arrows, in the colours of the reader's light or dark theme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.sax.saxutils import escape

Point = tuple[float, float]

#: Colours of the light and the dark theme, by CSS class. The card is opaque: legible wherever it is embedded.
_COLOURS = {
    ".card{fill:%s;stroke:%s}": ("#ffffff #d1d9e0", "#0d1117 #3d444d"),
    ".plain{fill:%s;stroke:%s}": ("#f6f8fa #818b98", "#151b23 #656c76"),
    ".frame{fill:none;stroke:%s}": ("#818b98", "#656c76"),
    ".band{fill:%s;stroke:none}": ("#f6f8fa", "#151b23"),
    ".blue{fill:%s;stroke:%s}": ("#ddf4ff #0969da", "#121d2f #4493f8"),
    ".green{fill:%s;stroke:%s}": ("#dafbe1 #1a7f37", "#12261e #3fb950"),
    ".amber{fill:%s;stroke:%s}": ("#fff8c5 #9a6700", "#272115 #d29922"),
    ".red{fill:%s;stroke:%s}": ("#ffebe9 #cf222e", "#25171c #f85149"),
    ".line{fill:none;stroke:%s}": ("#59636e", "#9198a1"),
    ".head{fill:%s;stroke:none}": ("#59636e", "#9198a1"),
    "text{fill:%s;stroke:%s}": ("#1f2328 none", "#f0f6fc none"),
    ".muted{fill:%s}": ("#59636e", "#9198a1"),
    ".warn{fill:%s}": ("#cf222e", "#f85149"),
    # On a line: the card's colour around each letter keeps it legible.
    ".on{stroke:%s;stroke-width:5px;paint-order:stroke}": ("#ffffff", "#0d1117"),
}
_FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif'
_MONO = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace'
_HEAD = 9.0


class Style(StrEnum):
    """How a box looks."""

    PLAIN = "plain"
    FRAME = "frame"
    BAND = "band"
    BLUE = "blue"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """The centre."""
        return self.x + self.width / 2, self.y + self.height / 2


class Canvas:
    """A picture in the making."""

    def __init__(self, title: str, description: str, *, width: int, height: int) -> None:
        self._title, self._description = title, description
        self._width, self._height = width, height
        self._parts: list[str] = []
        self.text(24, 34, title, size=17, bold=True)

    def box(
        self, box: Box, style: Style, lines: Sequence[str] = (), *, dashed: bool = False, mono: bool = False
    ) -> None:
        """Draw ``box`` with ``lines`` in its centre, of which the first is its name."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<rect class="{style}" x="{box.x:g}" y="{box.y:g}" '
            f'width="{box.width:g}" height="{box.height:g}" rx="6"{dash}/>'
        )
        x, y = box.middle
        top = y - (len(lines) - 1) * 9 + 5
        for number, line in enumerate(lines):
            first = number == 0
            self.text(
                x,
                top + number * 18,
                line,
                size=13 if first else 12,
                anchor="middle",
                bold=first and not mono,
                mono=first and mono,
                style="" if first else "muted",
            )

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: int = 13,
        anchor: str = "start",
        style: str = "",
        bold: bool = False,
        mono: bool = False,
    ) -> None:
        """Write one line, whose baseline is at ``y``."""
        weight = ' font-weight="600"' if bold else ""
        family = f" font-family='{_MONO}'" if mono else ""
        name = f' class="{style}"' if style else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{name}{weight}{family}>'
            f"{escape(content)}</text>"
        )

    def arrow(self, *points: Point, dashed: bool = False, head: bool = True) -> None:
        """Draw a line along ``points``, with a head at its end."""
        end, before = points[-1], points[-2]
        angle = math.atan2(end[1] - before[1], end[0] - before[0])
        stop = (end[0] - _HEAD * 0.7 * math.cos(angle), end[1] - _HEAD * 0.7 * math.sin(angle)) if head else end
        path = "L".join(f"{x:g} {y:g}" for x, y in [*points[:-1], (round(stop[0], 1), round(stop[1], 1))])
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path class="line" d="M{path}" stroke-width="1.5" stroke-linejoin="round"{dash}/>')
        if head:
            sides = [
                (end[0] - _HEAD * math.cos(angle + turn), end[1] - _HEAD * math.sin(angle + turn))
                for turn in (0.4, -0.4)
            ]
            triangle = " ".join(f"{x:.1f},{y:.1f}" for x, y in [end, *sides])
            self._parts.append(f'<polygon class="head" points="{triangle}"/>')

    def render(self) -> str:
        """Return the SVG document."""
        light, dark = (
            "".join(rule % tuple(colours[theme].split()) for rule, colours in _COLOURS.items()) for theme in (0, 1)
        )
        head = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}" '
                f'width="{self._width}" height="{self._height}" role="img" aria-labelledby="title description" '
                f"font-family='{_FONT}'>"
            ),
            f'<title id="title">{escape(self._title)}</title>',
            f'<desc id="description">{escape(self._description)}</desc>',
            f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{self._width - 1}" height="{self._height - 1}" rx="8"/>',
        ]
        return "\n".join([*head, *self._parts, "</svg>"]) + "\n"


def draw_state(canvas: Canvas, box: Box, name: str, *, final: bool, style: Style) -> None:
    """Draw a state of a state machine, in a double frame if it is ``final``."""
    if final:
        canvas.box(Box(x=box.x - 4, y=box.y - 4, width=box.width + 8, height=box.height + 8), Style.FRAME)
    canvas.box(box, style, (name,), mono=True)
