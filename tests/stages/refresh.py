"""Update what tests compare with the current code: `python -m tests.stages.refresh`, then review the difference.

`frozen.json` contains the create-only properties of named resources, docs/security.md the accepted findings.
"""

import json
import tempfile
from pathlib import Path

from kit.security_table import main as write_table
from tests.stages.conftest import ENVIRONMENTS, read, synthesize, synthesize_app
from tests.stages.model import PROJECT
from tests.stages.replacement import named


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        synthesize(ENVIRONMENTS, Path(folder))
        frozen = {name: named(templates) for name, templates in read(ENVIRONMENTS, Path(folder)).items()}
    path = Path(__file__).with_name("frozen.json")
    path.write_text(json.dumps(frozen, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        synthesize_app(Path(folder))
        write_table([folder, str(PROJECT / "docs" / "security.md")])


if __name__ == "__main__":
    main()
