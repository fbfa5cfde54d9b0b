"""Run by the Python that checkov is installed in: `python run_checkov.py TEMPLATES SERVICE`; prints JSON.

Two of checkov's runners and nothing else: its command imports all of them, which takes longer than the scan, and asks
its vendor's platform unless told not to. Needs no network.
"""

import json
import sys
from pathlib import Path
from typing import Any

from checkov.cloudformation.runner import Runner as Templates  # type: ignore[import-not-found]
from checkov.dockerfile.runner import Runner as Dockerfiles  # type: ignore[import-not-found]
from checkov.runner_filter import RunnerFilter  # type: ignore[import-not-found]


def scan(runner: Any, folder: str, framework: str) -> dict[str, Any]:
    """Return what one runner has found in a folder: files that were `read`, `broken` files, `failed` checks."""
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
    """Return the path of a file that a runner names, absolute or below the folder."""
    path = Path(name)
    return str((path if path.exists() else Path(folder) / name.lstrip("/")).resolve())


if __name__ == "__main__":
    found = {
        "cloudformation": scan(Templates(), sys.argv[1], "cloudformation"),
        "dockerfile": scan(Dockerfiles(), sys.argv[2], "dockerfile"),
    }
    sys.stdout.write(json.dumps(found))
