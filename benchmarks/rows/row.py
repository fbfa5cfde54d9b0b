"""What a row is."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.stand import Stand


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question, and how it is measured."""

    name: str
    title: str
    #: Measures, prints a table, and returns what is kept in `.run/bench.json`.
    run: Callable[[Stand], object]
    by_default: bool = True
