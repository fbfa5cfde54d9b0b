"""`python -m benchmarks.plots RESULTS FOLDER`: draw the rows of a run that have something to see."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import svg
from benchmarks.statistics import summarize

#: Content of `.run/bench.json`: JSON, checked by use.
Results = Mapping[str, Any]
_BLOCK_ROWS = {
    "create": "Payments a second, closed loop",
    "requests": "Other requests a second",
    "merchants": "Payments a second by merchants",
    "idle_connections": "Payments a second beside idle TLS connections",
    "stored": "Payments a second beside stored ones",
    "balancer": "Payments a second through the rehearsal's balancer and gateway",
}


def draw(results: Results) -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG of each chart."""
    rows = results["rows"]
    for name, title in _BLOCK_ROWS.items():
        if name in rows:
            yield name, svg.bars(title, {own: summarize(rates) for own, rates in _rates(_blocks(rows[name])).items()})
    if "open" in rows:
        yield "open", _latencies(rows["open"])
    if "memory" in rows:
        points = rows["memory"]["payments_and_mebibytes"]
        labels = [f"{payments // 1000}k" for payments, _ in points]
        series = {"api": [resident for _, resident in points]}
        yield "memory", svg.lines("Resident memory of the api by payments taken", labels, series, unit="MiB")


def write(results: Results, folder: Path) -> list[Path]:
    """Write every chart to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, content in draw(results):
        files.append(folder / f"{name}.svg")
        files[-1].write_text(content, encoding="utf-8")
    return files


def _blocks(row: Any) -> Sequence[Mapping[str, Any]]:  # Any: see Results
    blocks: Sequence[Mapping[str, Any]] = row["blocks"] if isinstance(row, dict) else row
    return blocks


def _rates(blocks: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {}
    for block in blocks:
        rates.setdefault(block["subject"], []).append(block["per_second"])
    return rates


def _latencies(row: Mapping[str, Any]) -> str:
    by_subject: dict[str, list[Mapping[str, float]]] = {}
    for block in row["blocks"]:
        by_subject.setdefault(block["subject"], []).append(block["latency_ms"])
    labels = list(next(iter(by_subject.values()))[0])
    series = {
        name: [summarize([latency[label] for latency in latencies]).median for label in labels]
        for name, latencies in by_subject.items()
    }
    title = f"Latency at {row['rate']:.0f} payments a second, from the intended start"
    return svg.lines(title, labels, series, unit="ms")


if __name__ == "__main__":
    for file in write(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])):
        print(file)
