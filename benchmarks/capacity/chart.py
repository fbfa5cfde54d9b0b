"""One bar for each limit, over payments a second on a logarithmic axis; legible on a light and a dark page."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from benchmarks.capacity.limits import Limit, Scope

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 1_000, 290, 300, 96, 40
_BAR, _GAP = 22, 14
#: Exponents of ten at both ends of the axis.
_LOW, _HIGH = 1, 6
_NAMES: Mapping[Scope, str] = {
    "environment": "an environment as configured",
    "cluster": "one Aurora cluster",
    "shards": "shards",
}
_STYLE = """
.page { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 }
.environment { fill: #0969da } .cluster { fill: #bf8700 } .shards { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d }
.environment { fill: #4493f8 } .cluster { fill: #d29922 } .shards { fill: #3fb950 }
}
"""


def draw(limits: Sequence[Limit]) -> str:
    """Return the chart as SVG."""
    bottom = _TOP + len(limits) * (_BAR + _GAP)
    title = "Payments a second at which each limit is met, and what takes over"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" font-family="sans-serif" '
        f'font-size="13" role="img"><title>{title}</title><style>{_STYLE}</style>'
        '<rect class="page" width="100%" height="100%"/>'
    )
    parts = [head, f'<text class="ink" x="16" y="28" font-size="16" font-weight="bold">{title}</text>']
    x = 16.0
    for scope, name in _NAMES.items():
        parts.append(f'<rect class="{scope}" x="{x:.0f}" y="46" width="12" height="12" rx="2"/>')
        parts.append(_text(x + 18, 57, name, kind="soft"))
        x += 38 + 7 * len(name)
    for exponent in range(_LOW, _HIGH + 1):
        at = _at(10**exponent)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP - 8}V{bottom}"/>')
        parts.append(_text(at, bottom + 20, f"{10**exponent:,}", anchor="middle", kind="soft"))
    for number, limit in enumerate(limits):
        y = _TOP + number * (_BAR + _GAP)
        end = _at(limit.rate)
        parts += [
            _text(_LEFT - 10, y + 16, limit.name, anchor="end"),
            f'<rect class="{limit.scope}" x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR}" rx="2"/>',
            _text(end + 6, y + 16, _short(limit.rate), weight="bold"),
            _text(_WIDTH - _RIGHT + 50, y + 16, limit.then, kind="soft"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _at(rate: float) -> float:
    share = (math.log10(rate) - _LOW) / (_HIGH - _LOW)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _short(rate: float) -> str:
    return f"{float(f'{rate:.2g}'):,.0f}"


def _text(x: float, y: float, content: str, *, anchor: str = "start", kind: str = "ink", weight: str = "normal") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(content)}</text>"
    )
