"""Draws every picture again: `make pictures`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.pictures.gallery import FOLDER, PROJECT, draw_all

_ACCOUNT = "111111111111"
#: The environments as this repository is delivered, and what else a synthesis needs. Not the values of `cdk.json`: the
#: pictures are the same in every installation.
_EXAMPLE = {
    "environments": {"dev": {}, "prod": {"approval": True}},
    "account": _ACCOUNT,
    "connection_arn": f"arn:aws:codeconnections:us-east-1:{_ACCOUNT}:connection/00000000-0000-4000-8000-000000000000",
    "repository": "owner/name",
    "certificate_arn": f"arn:aws:acm:us-east-1:{_ACCOUNT}:certificate/00000000-0000-0000-0000-000000000000",
    "alarm_email": "operators@example.com",
}


def _synthesize(folder: Path) -> None:
    """Run `app.py` as the CDK CLI does."""
    delivered = json.loads((PROJECT / "cdk.json").read_text())["context"]
    context = {name: value for name, value in delivered.items() if "@" in name} | _EXAMPLE
    environment = os.environ | {"CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps(context)}
    subprocess.run([sys.executable, "app.py"], cwd=PROJECT, env=environment, check=True)


def main() -> None:
    """Synthesize, draw and write."""
    with tempfile.TemporaryDirectory() as folder:
        _synthesize(Path(folder))
        pictures = draw_all(Path(folder))
    FOLDER.mkdir(exist_ok=True)
    for name, content in pictures.items():
        (FOLDER / f"{name}.svg").write_text(content, encoding="utf-8")
        print(FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
