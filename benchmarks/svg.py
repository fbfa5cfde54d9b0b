"""Two kinds of chart as SVG: bars with their spread, and lines."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from benchmarks.statistics import Summary

_WIDTH, _LEFT, _RIGHT, _TOP = 760, 190, 90, 44
_BAR, _GAP = 20, 10
_PLOT_HEIGHT, _BOTTOM = 240, 46
_COLOURS = ("#1f6feb", "#6e7781", "#bf8700", "#8250df", "#1a7f37")
_TICKS = 4


def bars(title: str, values: Mapping[str, Summary]) -> str:
    """Return horizontal bars of medians, each with a line from the lowest to the highest round."""
    width = _WIDTH - _LEFT - _RIGHT
    scale = width / (max(summary.high for summary in values.values()) or 1)
    parts = []
    for number, (name, summary) in enumerate(values.items()):
        y = _TOP + number * (_BAR + _GAP)
        middle, end = y + _BAR / 2, _LEFT + summary.high * scale
        parts += [
            _text(_LEFT - 8, middle + 4, name, anchor="end"),
            f'<rect x="{_LEFT}" y="{y}" width="{summary.median * scale:.1f}" height="{_BAR}" fill="{_COLOURS[0]}"/>',
            f'<path d="M{_LEFT + summary.low * scale:.1f} {middle}H{end:.1f}" stroke="#24292f" stroke-width="2"/>',
            _text(end + 8, middle + 4, f"{summary.median:.0f}"),
        ]
    return _document(title, _TOP + len(values) * (_BAR + _GAP) + 8, parts)


def lines(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str) -> str:
    """Return a line for each series over evenly spaced labels; the vertical axis begins at 0."""
    highest = max(value for values in series.values() for value in values) or 1
    left, width = 70, _WIDTH - 70 - 150
    step = width / max(1, len(labels) - 1)
    bottom = _TOP + _PLOT_HEIGHT
    parts = []
    for tick in range(_TICKS + 1):
        y = bottom - _PLOT_HEIGHT * tick / _TICKS
        parts.append(f'<path d="M{left} {y:.1f}H{left + width}" stroke="#d0d7de"/>')
        parts.append(_text(left - 8, y + 4, f"{highest * tick / _TICKS:.3g}", anchor="end"))
    parts += [_text(left + number * step, bottom + 20, label, anchor="middle") for number, label in enumerate(labels)]
    parts.append(_text(left - 8, _TOP - 12, unit, anchor="end"))
    for number, (name, values) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(left + at * step, bottom - value / highest * _PLOT_HEIGHT) for at, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(_text(points[-1][0] + 8, points[-1][1] + 4, name, colour=colour))
    return _document(title, bottom + _BOTTOM, parts)


def _text(x: float, y: float, content: str, *, anchor: str = "start", colour: str = "#24292f") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(content)}</text>'


def _document(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif" '
        f'font-size="13" role="img"><title>{escape(title)}</title><rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#24292f">{escape(title)}</text>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"
