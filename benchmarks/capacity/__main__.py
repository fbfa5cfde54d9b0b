"""`python -m benchmarks.capacity`: rewrite the tables and the chart of docs/capacity.md."""

from benchmarks.capacity.chart import draw
from benchmarks.capacity.cost import DOCS
from benchmarks.capacity.limits import limits
from benchmarks.capacity.tables import fill

DOCUMENT, CHART = DOCS / "capacity.md", DOCS / "capacity" / "limits.svg"


def main() -> None:
    """Rewrite both files."""
    DOCUMENT.write_text(fill(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    CHART.write_text(draw(limits()), encoding="utf-8")


if __name__ == "__main__":
    main()
