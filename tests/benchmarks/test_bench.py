"""`make bench` measures, reports, writes its results, and says when the machine is no judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.bench import main
from benchmarks.options import Options
from benchmarks.rows import ALL, DEFAULT

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.rehearsal
@pytest.mark.takes_minutes
def test_a_short_run_measures_payments_beside_their_denominators(tmp_path: Path) -> None:
    short = {
        "ONLY": "census,create",
        "ROUNDS": "1",
        "BLOCK_SECONDS": "1",
        "IN_FLIGHT": "2",  # so that a set of 16 payments fits, also on a busy machine
        "ANYWAY": "1",
        "BENCH_DIRECTORY": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench"],
        cwd=CHECKOUT,
        env={**os.environ, **short},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results = json.loads((tmp_path / "bench.json").read_text())
    blocks = {block["subject"]: block for block in results["rows"]["create"]["blocks"]}
    assert blocks.keys() >= {"api", "C0 statements", "C1 functions", "C2 sets of 16", "bare Flask, C1", "pgbench -N"}
    assert all(block["units"] > 0 and not block["failures"] for block in blocks.values())
    assert blocks["api"]["processor_ms"]["api"] > 0
    assert blocks["api"]["processor_ms"]["postgresql"] > 0
    census = results["rows"]["census"]
    assert 3 <= census["commits"] < 5, "Tx1, journal and Tx2"
    assert census["round_trips"] >= 3
    assert results["python"]["version"] == sys.version
    assert results["options"]["rounds"] == 1
    assert "api / denominator" in done.stdout
    left = [process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])]
    assert left == [], "nothing is left running"


def test_rows_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert Options(only="").rows(DEFAULT) == DEFAULT
    assert Options(only="idle, create").rows(DEFAULT) == ("idle", "create")
    assert set(DEFAULT) < set(ALL)
    monkeypatch.setenv("ONLY", "create,nonsense")
    assert main() == 1
    assert "there is no row nonsense" in capsys.readouterr().out


def test_options_that_mean_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROUNDS", "0")
    assert main() == 1
    assert "ROUNDS=0" in capsys.readouterr().out
