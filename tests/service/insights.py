"""The part of the Logs Insights query language that our queries use, run over log lines; anything else is refused.

Language: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = dict[str, Any]
_FIELD = r"@?[A-Za-z_][A-Za-z0-9_.]*"
_COMPARISON = re.compile(
    rf"(?P<field>{_FIELD})\s*(?:like\s+/(?P<pattern>[^/]+)/|(?P<operator>=|!=|>=|<=|>|<)\s*(?P<value>'[^']*'|-?[\d.]+))"
)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
}
_AGGREGATE = re.compile(rf"(?P<function>count|latest)\((?P<argument>\*|{_FIELD})\)\s+as\s+(?P<name>{_FIELD})")
_BIN = re.compile(r"bin\((\d+)([smhd])\)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class UnknownSyntaxError(ValueError):
    """A query has what this evaluator does not know: teach it, from the documentation, before using it."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query, taken apart."""

    filters: Sequence[Callable[[Row], bool]]
    #: Every field of log lines that the query names, those of its filters included.
    fields: frozenset[str]
    shown: Sequence[str] = ()
    aggregates: Sequence[tuple[str, str, str]] = ()
    groups: Sequence[str] = ()
    sort: tuple[str, bool] | None = None
    limit: int = 10_000


@dataclass
class _Parts:
    filters: list[Callable[[Row], bool]] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)
    shown: list[str] = field(default_factory=list)
    aggregates: list[tuple[str, str, str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    sort: tuple[str, bool] | None = None
    limit: int = 10_000


def rows(lines: Iterable[str]) -> list[Row]:
    """Log lines as Logs Insights sees them: fields of the JSON, nested ones with dots, besides `@timestamp`."""
    found = []
    for line in lines:
        value = json.loads(line)
        found.append({**_flat(value), "@message": line, "@timestamp": value.get("time")})
    return found


def _flat(value: Mapping[str, Any], prefix: str = "") -> Row:
    found: Row = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= _flat(inner, f"{prefix}{name}.")
        elif inner is not None:
            found[f"{prefix}{name}"] = inner
    return found


def parse(text: str) -> Query:
    """Take a query apart.

    Raises:
        UnknownSyntaxError: it has something that is not known here.
    """
    parts = _Parts()
    for stage in re.split(r"\s*\|\s*", text.strip()):
        command, _, rest = " ".join(stage.split()).partition(" ")
        match command:
            case "fields":
                parts.shown += _names(rest)
                parts.fields |= set(_names(rest))
            case "filter":
                parts.filters.append(_filter(rest, parts.fields))
            case "stats":
                _stats(rest, parts)
            case "sort":
                name, _, order = rest.partition(" ")
                if order not in ("asc", "desc"):
                    raise UnknownSyntaxError(f"sort {rest}")
                parts.sort = (name, order == "desc")
            case "limit" if rest.isdigit():
                parts.limit = int(rest)
            case _:
                raise UnknownSyntaxError(stage)
    _check_sort(parts)
    return Query(
        filters=parts.filters,
        fields=frozenset(parts.fields),
        shown=parts.shown,
        aggregates=parts.aggregates,
        groups=parts.groups,
        sort=parts.sort,
        limit=parts.limit,
    )


def _check_sort(parts: _Parts) -> None:
    """What is sorted by must be there: a field of the lines, or a column of the statistics."""
    if parts.sort is None:
        return
    columns = {name for _, _, name in parts.aggregates} | set(parts.groups)
    if parts.aggregates and parts.sort[0] not in columns:
        raise UnknownSyntaxError(f"sort {parts.sort[0]}: no column of the statistics")
    if not parts.aggregates:
        parts.fields.add(parts.sort[0])


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not re.fullmatch(_FIELD, name):
            raise UnknownSyntaxError(name)
    return names


def _filter(text: str, fields: set[str]) -> Callable[[Row], bool]:
    """Comparisons joined by `and` or by `or`, not by both: precedence is nothing to guess."""
    joined = re.split(r"\s+(and|or)\s+", text)
    words = set(joined[1::2])
    if len(words) > 1:
        raise UnknownSyntaxError(f"and besides or: {text}")
    tests = [_comparison(part, fields) for part in joined[::2]]
    combine = any if words == {"or"} else all
    return lambda row: combine(test(row) for test in tests)


def _comparison(text: str, fields: set[str]) -> Callable[[Row], bool]:
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        raise UnknownSyntaxError(text)
    name, pattern = found["field"], found["pattern"]
    fields.add(name)
    if pattern is not None:
        return lambda row: name in row and re.search(pattern, str(row[name])) is not None
    compare, raw = _OPERATORS[found["operator"]], found["value"]
    wanted: str | float = raw[1:-1] if raw.startswith("'") else float(raw)
    kinds: tuple[type, ...] = (str,) if isinstance(wanted, str) else (int, float)
    return lambda row: isinstance(row.get(name), kinds) and compare(row[name], wanted)


def _stats(text: str, parts: _Parts) -> None:
    aggregates, by, groups = text.partition(" by ")
    for each in aggregates.split(","):
        found = _AGGREGATE.fullmatch(each.strip())
        if found is None or not by:
            raise UnknownSyntaxError(text)
        parts.aggregates.append((found["function"], found["argument"], found["name"]))
        parts.fields |= {found["argument"]} - {"*"}
    for group in groups.split(","):
        name = group.strip()
        parts.groups.append(name)
        if _BIN.fullmatch(name):
            parts.fields.add("@timestamp")
        else:
            parts.fields |= set(_names(name))


def matched(query: Query, lines: Sequence[Row]) -> list[Row]:
    """The lines that pass every filter."""
    return [row for row in lines if all(test(row) for test in query.filters)]


def run(query: Query, lines: Sequence[Row]) -> list[Row]:
    """Return the result of the query."""
    found = matched(query, lines)
    if query.aggregates:
        found = _aggregated(query, found)
    else:
        found = [
            {name: row.get(name) for name in {*query.shown, *([query.sort[0]] if query.sort else [])}} for row in found
        ]
    if query.sort is not None:
        name, descending = query.sort
        found.sort(key=lambda row: (row[name] is not None, row[name]), reverse=descending)
    return found[: query.limit]


def _aggregated(query: Query, lines: Sequence[Row]) -> list[Row]:
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for row in lines:
        grouped.setdefault(tuple(_group(name, row) for name in query.groups), []).append(row)
    return [
        dict(zip(query.groups, key, strict=True))
        | {name: _aggregate(function, argument, members) for function, argument, name in query.aggregates}
        for key, members in grouped.items()
    ]


def _group(name: str, row: Row) -> object:
    period = _BIN.fullmatch(name)
    if period is None:
        return row.get(name)
    seconds = int(period[1]) * _SECONDS[period[2]]
    return datetime.fromisoformat(row["@timestamp"]).timestamp() // seconds * seconds


def _aggregate(function: str, argument: str, members: Sequence[Row]) -> object:
    if function == "latest":
        return max(members, key=lambda row: row["@timestamp"]).get(argument)
    return len(members) if argument == "*" else sum(argument in row for row in members)
