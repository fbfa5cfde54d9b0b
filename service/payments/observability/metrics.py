"""Business metrics, collected in the process and written once a minute as log lines that CloudWatch reads (EMF).

Specification: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

NAMESPACE = "Payments"
#: Values of one metric per document, a limit of the format.
_MAX_VALUES = 100


class Metrics:
    """Counters and samples of one process. Thread-safe; recording does no I/O."""

    def __init__(self, environment: str = "local") -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], int] = defaultdict(int)
        self._samples: dict[tuple[str, str], list[float]] = defaultdict(list)

    def count(self, name: str, *, dimension: str, value: str, by: int = 1) -> None:
        """Add ``by`` to a counter with one dimension besides the environment."""
        with self._lock:
            self._counts[name, dimension, value] += by

    def sample(self, name: str, value: float, *, unit: str) -> None:
        """Record one measurement in ``unit``, a CloudWatch unit."""
        with self._lock:
            self._samples[name, unit].append(value)

    def drain(self, now: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield the EMF documents (JSON) of everything recorded since the last call."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(int)
            samples, self._samples = self._samples, defaultdict(list)
        timestamp = round((time.time() if now is None else now) * 1000)
        for (name, dimension, value), total in counts.items():
            yield self._document(timestamp, name, "Count", total, {dimension: value})
        for (name, unit), values in samples.items():
            for start in range(0, len(values), _MAX_VALUES):
                yield self._document(timestamp, name, unit, values[start : start + _MAX_VALUES], {})

    def flush(self, write: Callable[[str], object]) -> None:
        """Write every document as one line."""
        for document in self.drain():
            write(json.dumps(document))

    def _document(
        self, timestamp: int, name: str, unit: str, value: float | list[float], dimensions: dict[str, str]
    ) -> dict[str, Any]:
        return {
            "_aws": {
                "Timestamp": timestamp,
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [["Environment", *dimensions]],
                        "Metrics": [{"Name": name, "Unit": unit}],
                    }
                ],
            },
            "Environment": self._environment,
            **dimensions,
            name: value,
        }
