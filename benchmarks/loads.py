"""Loads: the generator against an HTTPS port, and pgbench against the frozen database."""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.blocks import Load
from benchmarks.errors import BenchError
from benchmarks.generator.work import Done, Work
from benchmarks.postgres import FROZEN_LOGIN, Server
from rehearsal.rds.postgresql import ENVIRONMENT, program

_REPOSITORY = Path(__file__).parents[1]
_DENOMINATORS = Path(__file__).parent / "denominators"
_PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")
_RATE = re.compile(r"tps = ([\d.]+)")
_THREADS = 2


def generate(work: Work) -> Done:
    """Run the generator in a process of its own.

    Raises:
        BenchError: It failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generator"],
        cwd=_REPOSITORY,
        input=json.dumps(asdict(work)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"the generator failed: {done.stderr.strip()[-1500:]}")
    return Done(**json.loads(done.stdout))


def https(work: Work) -> Load:
    """Load an HTTPS port."""
    done = generate(work)
    return Load(
        units=done.succeeded,
        seconds=done.elapsed,
        latencies=done.latencies,
        failures=done.failures,
        generator_seconds=done.processor_seconds,
    )


def pgbench(
    server: Server,
    script: str | None,
    *,
    seconds: float,
    connections: int,
    database: str = FROZEN,
    units: int = 1,
    rate: float | None = None,
) -> Load:
    """Run a script of the denominators with pgbench; without one, its own "simple update".

    Args:
        server: The server.
        script: The name of the file, without its ending.
        seconds: For how long.
        connections: Clients.
        database: Where.
        units: Payments of one run of the script.
        rate: Runs a second of an open loop, whose latencies count from the intended start.

    Raises:
        BenchError: A statement failed.
    """
    what = ["-N"] if script is None else [f"--file={_DENOMINATORS / script}.pgbench"]
    with tempfile.TemporaryDirectory(prefix="pgbench-") as folder:
        command = [program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={connections}"]
        command += [f"--jobs={min(_THREADS, connections)}", f"--time={max(1, round(seconds))}", *what]
        # Identifiers are made of the time in microseconds, so that blocks never share one.
        command += ["--define=i=0", f"--define=base={time.time_ns() // 1000}"]
        command += ["--log", f"--log-prefix={folder}/log"]
        command += [f"--rate={rate}"] if rate else []
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*command, server.conninfo(database, user=FROZEN_LOGIN)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        latencies = [value for log in sorted(Path(folder).iterdir()) for value in _latencies(log)]
    processed, per_second = _PROCESSED.search(done.stdout), _RATE.search(done.stdout)
    if done.returncode or processed is None or per_second is None:
        raise BenchError(f"pgbench {script or '-N'} failed: {done.stderr.strip()[-1500:]}")
    count = int(processed[1]) * units
    return Load(
        units=count,
        seconds=count / (float(per_second[1]) * units) if count else seconds,
        latencies=latencies,
        generator_seconds=ended.ru_utime + ended.ru_stime - used.ru_utime - used.ru_stime,
    )


def _latencies(log: Path) -> list[float]:
    """Return the milliseconds of each transaction; pgbench logs them in microseconds in the third column."""
    return [int(line.split(" ", 3)[2]) / 1000 for line in log.read_text().splitlines()]
