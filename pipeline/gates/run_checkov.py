"""Scans templates and Dockerfile with checkov, printing JSON: `python run_checkov.py TEMPLATES SERVICE`.

Runs in checkov's own environment. Uses two of its runners directly: checkov's command imports all of them, which takes
longer than the scan, and calls its vendor's platform by default. Needs no network.
"""

import json
import sys
from pathlib import Path
from typing import Any

from checkov.cloudformation.runner import Runner as Templates  # type: ignore[import-not-found]  # not in this environment
from checkov.dockerfile.runner import Runner as Dockerfiles  # type: ignore[import-not-found]  # not in this environment
from checkov.runner_filter import RunnerFilter  # type: ignore[import-not-found]  # not in this environment


def scan(runner: Any, folder: str, framework: str) -> dict[str, Any]:  # Any: checkov is not in this environment
    """Scan a folder; return the files that were `read`, the `broken` ones, and the `failed` checks."""
    report = runner.run(root_folder=folder, runner_filter=RunnerFilter(framework=[framework]))
    return {
        "read": sorted(_absolute(folder, name) for name in runner.definitions or ()),
        "broken": sorted(map(str, report.parsing_errors)),
        "failed": [
            {
                "file": _absolute(folder, check.file_abs_path),
                "resource": check.resource,
                "line": check.file_line_range[0],
                "rule": check.check_id,
                "name": check.check_name,
            }
            for check in report.failed_checks
        ],
    }


def _absolute(folder: str, name: str) -> str:
    """Return the absolute path of a file that a runner names, absolute or relative to the folder."""
    path = Path(name)
    return str((path if path.exists() else Path(folder) / name.lstrip("/")).resolve())


if __name__ == "__main__":
    found = {
        "cloudformation": scan(Templates(), sys.argv[1], "cloudformation"),
        "dockerfile": scan(Dockerfiles(), sys.argv[2], "dockerfile"),
    }
    sys.stdout.write(json.dumps(found))
