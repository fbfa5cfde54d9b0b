"""Charts are drawn from the results of a run, and are valid SVG."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.plots import write

_SVG = "{http://www.w3.org/2000/svg}"


def block(subject: str, per_second: float) -> Mapping[str, object]:
    return {"subject": subject, "per_second": per_second, "latency_ms": {"p50": 1.0, "p99": per_second}}


def test_each_row_is_drawn_to_scale(tmp_path: Path) -> None:
    blocks = [block("C1 <functions>", 200.0), block("api", 90.0), block("api", 110.0), block("C1 <functions>", 200.0)]
    memory = {"payments_and_mebibytes": [(0, 90.0), (50_000, 95.0), (100_000, 100.0)]}
    rows = {"create": {"blocks": blocks}, "open": {"rate": 50.0, "blocks": blocks}, "memory": memory, "idle": {}}
    files = {file.name: ET.parse(file).getroot() for file in write({"rows": rows}, tmp_path)}
    assert files.keys() == {"create.svg", "open.svg", "memory.svg"}
    c1, api = (float(bar.get("width", "")) for bar in files["create.svg"].findall(f"{_SVG}rect")[1:])
    assert api / c1 == 0.5
    texts = {text.text for text in files["create.svg"].findall(f"{_SVG}text")}
    assert texts >= {"C1 <functions>", "200", "api", "100"}
    assert len(files["open.svg"].findall(f"{_SVG}polyline")) == 2
