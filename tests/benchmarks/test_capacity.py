"""docs/capacity.md and its chart are what the model says today."""

import math
import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.capacity.__main__ import CHART, DOCUMENT
from benchmarks.capacity.chart import draw
from benchmarks.capacity.cost import cost
from benchmarks.capacity.limits import demand, limits
from benchmarks.capacity.tables import TABLES, fill
from stages.config import capacity_model as model
from tests.service.services import test_sharding as sharding

_SVG = "{http://www.w3.org/2000/svg}"
RENEW = "run `python -m benchmarks.capacity`"


def test_the_tables_are_those_of_the_model() -> None:
    text = DOCUMENT.read_text()
    assert re.findall(r"<!-- (\w+) -->", text) == list(TABLES)
    for name, table in TABLES.items():
        assert f"<!-- {name} -->\n{table()}\n<!-- /{name} -->" in text, RENEW
    assert fill(text) == text


def test_the_chart_is_that_of_the_model() -> None:
    assert CHART.read_text() == draw(limits()), RENEW


def test_bars_are_drawn_to_scale_on_a_logarithmic_axis() -> None:
    root = ET.fromstring(draw(limits()))
    ends = [
        float(bar.get("x", "")) + float(bar.get("width", ""))
        for bar in root.findall(f"{_SVG}rect")
        if bar.get("height") == "22"
    ]
    axis = {
        text.text: float(text.get("x", ""))
        for text in root.findall(f"{_SVG}text")
        if text.get("text-anchor") == "middle"
    }
    decade = axis["100"] - axis["10"]
    for end, limit in zip(ends, limits(), strict=True):
        assert end == pytest.approx(axis["10"] + decade * math.log10(limit.rate / 10), abs=0.2), limit.name


def test_a_faster_payment_moves_every_limit_that_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {limit.name: limit.rate for limit in limits()}
    monkeypatch.setattr(model, "DATABASE_SECONDS", model.DATABASE_SECONDS / 2)
    monkeypatch.setattr(model, "API_SECONDS", model.API_SECONDS / 2)
    faster = {limit.name: limit.rate / before[limit.name] for limit in limits()}
    still = {"128 TiB of storage, kept for a year", "transaction ids, all rows frozen daily"}
    assert {name for name, factor in faster.items() if factor == pytest.approx(1)} == still
    assert {round(factor, 6) for name, factor in faster.items() if name not in still} == {2.0}


def test_a_million_payments_a_second_need_many_clusters() -> None:
    found = demand(1_000_000)
    assert found.clusters == -(-1_000_000 // int(model.database_rate(model.MOST_ACU)))
    assert demand(100).clusters == 1


def test_at_a_low_rate_the_environment_at_rest_is_what_is_paid() -> None:
    """At one payment a second, 2.628 million a month: the table of docs/cost.md, and what depends on traffic."""
    found = cost(1, api_seconds=model.API_SECONDS, database_seconds=model.DATABASE_SECONDS)
    (total,) = re.findall(r"^\| \*\*total\*\* .*?\*\*([\d.]+)\*\*", (DOCUMENT.parent / "cost.md").read_text(), re.M)
    assert (found.total - found.by_request) * 2.628 == pytest.approx(float(total), abs=0.02)


def test_the_document_lists_the_exceptions_that_the_simulation_found() -> None:
    text = DOCUMENT.read_text().partition("## No transaction crosses a shard")[2].partition("## Cost")[0]
    for name in (*sharding.BATCHES, "sandbox_journal", "processor_inbox", "cursors"):
        assert f"`{name}`" in text, name
    assert f"{len(sharding.WITHOUT_MERCHANT)} keys" in text
