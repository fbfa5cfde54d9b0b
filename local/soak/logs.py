"""The logs of the containers: errors, and metrics in CloudWatch's embedded metric format."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ERRORS = ("ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class Datum:
    """A value of a metric; `at` is in seconds since 1970."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    at: float
    value: float


def errors(files: Iterable[Path]) -> list[str]:
    """Return the lines of level ERROR and above, and those that are not JSON, such as tracebacks."""
    found = []
    for file, line in _lines(files):
        entry = _parse(line)
        if entry is None or entry.get("level") in _ERRORS:
            found.append(f"{file.name}: {line}")
    return found


def metrics(files: Iterable[Path]) -> list[Datum]:
    """Return every value of every metric."""
    return [
        datum
        for _, line in _lines(files)
        for entry in [_parse(line)]
        if entry and "_aws" in entry
        for datum in _data(entry)
    ]


def _lines(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.strip():
                yield file, line


def _parse(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _data(entry: Mapping[str, Any]) -> Iterator[Datum]:
    metadata = entry["_aws"]
    for directive in metadata["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, str(entry[name])) for name in names)
            for metric in directive["Metrics"]:
                values = entry[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield Datum(
                        namespace=directive["Namespace"],
                        name=metric["Name"],
                        dimensions=dimensions,
                        at=metadata["Timestamp"] / 1000,
                        value=float(value),
                    )
