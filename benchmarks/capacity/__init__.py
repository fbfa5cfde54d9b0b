"""The capacity model as tables and as a chart: `python -m benchmarks.capacity` rewrites them in docs/."""
