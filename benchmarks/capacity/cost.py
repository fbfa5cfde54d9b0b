"""What a million payments cost, at the prices of docs/cost.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.config import capacity_model as model

DOCS = Path(__file__).parents[2] / "docs"
_MONTH_HOURS, _MONTH_SECONDS = 730, 730 * 3_600
_MILLION = 1_000_000
#: GB of memory for each vCPU of the api, and what the worker takes besides.
_GB_PER_VCPU, _WORKER_VCPU, _WORKER_GB = 2, 0.25, 0.5
#: vCPU of the api and ACUs of the writer at rest.
_API_AT_REST, _ACU_AT_REST = 1.0, 0.5
#: A writer and a reader that scales with it.
_INSTANCES = 2
#: Bytes of a request and its response with TLS, and of the lines that it leaves in logs; both estimated.
_TRAFFIC_BYTES, _LOG_BYTES = 3_000, 1_000
#: Bytes that one Aurora write I/O holds; each commit takes one at least.
_IO_BYTES = 4_096


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Dollars for a million payments."""

    rate: int
    api: float
    database: float
    #: I/O, a month of storage, firewall, load balancer, log.
    by_request: float
    #: What an environment costs at rest besides tasks and database.
    fixed: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.api + self.database + self.by_request + self.fixed


def cost(rate: int, *, api_seconds: float, database_seconds: float) -> Cost:
    """Return what a million payments cost when ``rate`` a second arrive all month."""
    prices, text = _prices(), (DOCS / "cost.md").read_text(encoding="utf-8")
    millions = rate * _MONTH_SECONDS / _MILLION
    vcpu = max(_API_AT_REST, rate * api_seconds / model.UTILIZATION)
    acu = max(_ACU_AT_REST, rate * database_seconds / model.UTILIZATION / model.VCPU_PER_ACU)
    api = (vcpu + _WORKER_VCPU) * prices["Fargate, vCPU"] + (vcpu * _GB_PER_VCPU + _WORKER_GB) * prices["Fargate, GB"]
    ios = max(model.COMMITS, -(-model.WAL_BYTES // _IO_BYTES))
    by_request = (
        ios * _price(r"\$([\d.]+) a million\)\.", text)
        + model.STORED_BYTES / 1_000 * _price(r"Aurora storage and I/O \(\$([\d.]+) a GB", text)
        + _price(r"web ACL requests\n\(\$([\d.]+) a million\)", text)
        + _TRAFFIC_BYTES / 1_000 * _price(r"load balancer capacity units \(\$([\d.]+) an hour", text)
        + _LOG_BYTES / 1_000 * _price(r"and \$([\d.]+) a GB\)", text)
    )
    return Cost(
        rate=rate,
        api=api / millions,
        database=_INSTANCES * acu * prices["Aurora capacity, ACU"] / millions,
        by_request=by_request,
        fixed=prices["at rest"] / millions,
    )


def _prices() -> Mapping[str, float]:
    """Return dollars a month by item, and what everything but tasks and database costs."""
    rows = re.findall(
        r"^\| ([A-Z][^|(]+?)(?: of memory)?(?: \([^|]*)? \| ([\d.]+) \| [\d.]+ \| [\d.]+ \| ([\d.]+) \|",
        (DOCS / "cost.md").read_text(encoding="utf-8"),
        re.M,
    )
    scaled = {"Aurora capacity, ACU", "Fargate, vCPU", "Fargate, GB"}
    prices = {item: float(price) for item, price, _ in rows}
    return {**prices, "at rest": sum(float(dollars) for item, _, dollars in rows if item not in scaled)}


def _price(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"docs/cost.md has no price like {pattern!r}")
    return float(found[1])
