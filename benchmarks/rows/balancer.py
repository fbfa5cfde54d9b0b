"""The rehearsal's balancer and database gateway, reported apart: they are pure Python and stand in for AWS's."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import loads
from benchmarks.blocks import Subject
from benchmarks.errors import BenchError
from benchmarks.report import ratio_table, subject_table
from benchmarks.rows.row import Row
from benchmarks.stand import Stand

_REPOSITORY = Path(__file__).parents[2]
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0


def balancer(stand: Stand) -> object:
    """Measure payments directly, and through what `make serve` puts around the same api."""
    direct, through = "api", "balancer, api, gateway"
    with _served(stand.directory / "serve") as facts:
        stand.beside["balancer"] = int(str(facts["pid"]))
        port, key = urlsplit(str(facts["url"])).port or 443, str(facts["api_key"])
        subject = Subject(
            name=through,
            around=stand.service.paused,
            load=lambda begin: loads.https(stand.work(port, "create", keys=(key,)), begin),
        )
        try:
            blocks = stand.interleave([stand.api_subject(direct), subject])
        finally:
            del stand.beside["balancer"]
    stand.console.print(subject_table("Payments through the rehearsal's balancer and gateway", blocks))
    stand.console.print(ratio_table(through, (direct,), blocks))
    own = [block.processor_ms["balancer"] for block in blocks if block.subject == through]
    stand.console.print(f"  balancer and gateway take {min(own):.1f}..{max(own):.1f} ms of processor time a payment")
    return blocks


@contextmanager
def _served(folder: Path) -> Iterator[dict[str, object]]:
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "serve.json"
    facts.unlink(missing_ok=True)
    environment = {**os.environ, "PORT": "0", "SERVE_DIRECTORY": str(folder)}
    command = [sys.executable, "-m", "local.serve"]
    with subprocess.Popen(command, cwd=_REPOSITORY, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not facts.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise BenchError("`make serve` did not start; run it to see why")
                time.sleep(0.1)
            yield json.loads(facts.read_text(encoding="utf-8"))
        finally:
            server.terminate()
            server.wait(_STOP_SECONDS)


ROWS = (Row(name="balancer", title="the rehearsal's balancer and gateway", run=balancer, by_default=False),)
