"""`make bench`: what a payment costs, next to what PostgreSQL itself can do on the same machine in the same minutes.

docs/performance.md explains rows and denominators. It prints a table and writes `.run/bench.json`.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console

from benchmarks import plots
from benchmarks.errors import BenchError
from benchmarks.machine import cores, python_build
from benchmarks.options import Options
from benchmarks.rows import ALL, DEFAULT
from benchmarks.stand import Stand
from rehearsal.host.errors import RehearsalError
from rehearsal.host.lock import LockedError, exclusive_lock
from rehearsal.host.settings import SettingsError

#: Columns that the widest table needs, also where the output is no terminal.
_WIDTH = 120


def main() -> int:
    """Measure the chosen rows and report; return 1 with a message when that is not possible."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, _WIDTH)
    try:
        options = Options.read()
        names = _names(options)
        with exclusive_lock(options.bench_directory / "bench" / "lock"):
            _measure(console, options, names)
    except LockedError as error:
        console.print(f"make bench: another bench is running in this checkout (process {error.holder})")
    except (BenchError, RehearsalError, SettingsError) as error:
        console.print(f"make bench: {error}", markup=False)
    else:
        return 0
    return 1


def _names(options: Options) -> tuple[str, ...]:
    names = options.rows(DEFAULT)
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        raise BenchError(f"there is no row {', '.join(unknown)}; there are {', '.join(ALL)}")
    return names


def _measure(console: Console, options: Options, names: tuple[str, ...]) -> None:
    stand = Stand(options.bench_directory / "bench", options, console)
    results: dict[str, object] = {}
    begun = time.monotonic()
    build = python_build()
    console.print(
        f"{cores()} cores, shared by generator, service and PostgreSQL; Python {sys.version.split()[0]}, "
        f"{build['optimisation']}, profile-guided: {build['profile_guided']}, "
        f"optimised at link time: {build['link_time_optimised']}"
    )
    try:
        stand.start()
        for name in names:
            console.print(f"\n[bold]{name}[/]: {ALL[name].title}")
            results[name] = ALL[name].run(stand)
            _write(options, results)
    finally:
        stand.stop()
    charts = stand.directory / "plots"
    plots.write(json.loads((options.bench_directory / "bench.json").read_text()), charts)
    console.print(f"\n{time.monotonic() - begun:.0f} s; every block is in {options.bench_directory / 'bench.json'}")
    console.print(f"charts are in {charts}")


def _write(options: Options, results: Mapping[str, object]) -> None:
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": cores(),
        "python": python_build(),
        "options": options.model_dump(mode="json", exclude={"bench_directory", "pgledger"}),
        "rows": results,
    }
    path = options.bench_directory / "bench.json"
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, default=asdict) + "\n", encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
