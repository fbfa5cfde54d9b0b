"""Loads: the generator against an HTTPS port, and pgbench against the frozen database."""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.blocks import Load, unmeasured
from benchmarks.errors import BenchError
from benchmarks.generator.work import READY, Done, Work
from benchmarks.machine import processor_seconds
from benchmarks.postgres import FROZEN, FROZEN_LOGIN, Server
from rehearsal.rds.postgresql import ENVIRONMENT, program

_REPOSITORY = Path(__file__).parents[1]
_DENOMINATORS = Path(__file__).parent / "denominators"
_THREADS = 2
#: Seconds in which every connection of pgbench runs often enough for PostgreSQL to keep its plans.
_WARM_UP_SECONDS = 2.0


def generate(work: Work, begin: Callable[[], None] = unmeasured) -> Done:
    """Run the generator in a process of its own; `begin` is called once it is connected, before its first request.

    Raises:
        BenchError: It failed.
    """
    command = [sys.executable, "-m", "benchmarks.generator"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, cwd=_REPOSITORY, stdin=-1, stdout=-1, stderr=errors, text=True) as generator,
    ):
        if generator.stdin is None or generator.stdout is None:
            raise BenchError("the generator has no input or output")
        generator.stdin.write(json.dumps(asdict(work)) + "\n")
        generator.stdin.flush()
        if generator.stdout.readline() == READY:
            begin()
        output, _ = generator.communicate("\n")
        errors.seek(0)
        if generator.returncode:
            raise BenchError(f"the generator failed: {errors.read().decode().strip()[-1500:]}")
    return Done(**json.loads(output))


def https(work: Work, begin: Callable[[], None] = unmeasured) -> Load:
    """Load an HTTPS port."""
    done = generate(work, begin)
    return Load(
        units=done.succeeded,
        seconds=done.elapsed,
        latencies=done.latencies,
        failures=done.failures,
        generator_seconds=done.processor_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script of the denominators."""

    #: The name of its file, without the ending; `None` for pgbench's own "simple update".
    name: str | None
    database: str = FROZEN
    #: Payments of one run.
    units: int = 1


def pgbench(
    server: Server,
    script: Script,
    begin: Callable[[], None] = unmeasured,
    *,
    seconds: float,
    connections: int,
    rate: float | None = None,
) -> Load:
    """Run a script with pgbench, and count what ends after a warm-up: it connects anew and plans anew every time.

    Args:
        server: The server.
        script: What to run.
        begin: Called after the warm-up.
        seconds: For how long, after it.
        connections: Clients.
        rate: Runs a second of an open loop, whose latencies count from the intended start.

    Raises:
        BenchError: A statement failed.
    """
    what = "--builtin=simple-update" if script.name is None else f"--file={_DENOMINATORS / script.name}.pgbench"
    with tempfile.TemporaryDirectory(prefix="pgbench-") as folder:
        command = [program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={connections}"]
        command += [f"--jobs={min(_THREADS, connections)}", f"--time={math.ceil(_WARM_UP_SECONDS + seconds)}", what]
        # Identifiers are made of the time in microseconds, so that blocks never share one.
        command += ["--define=i=0", f"--define=base={time.time_ns() // 1000}"]
        command += ["--log", f"--log-prefix={folder}/log"]
        command += [f"--rate={rate}"] if rate else []
        command += [server.conninfo(script.database, user=FROZEN_LOGIN)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=-1, stderr=-1, text=True) as process:
            time.sleep(_WARM_UP_SECONDS)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = processor_seconds(process.pid)
            begin()
            begun = time.time()
            _, errors = process.communicate()
        if process.returncode:
            raise BenchError(f"pgbench {script.name or '-N'} failed: {errors.strip()[-1500:]}")
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs = [run for log in sorted(Path(folder).iterdir()) for run in _runs(log) if run.end >= begun]
    return Load(
        units=len(runs) * script.units,
        seconds=max((run.end for run in runs), default=begun) - begun,
        latencies=[run.milliseconds for run in runs],
        generator_seconds=ended.ru_utime + ended.ru_stime - before.ru_utime - before.ru_stime - used,
    )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run of a script, as pgbench logs it."""

    #: By the clock of the machine.
    end: float
    milliseconds: float


def _runs(log: Path) -> Iterator[_Run]:
    """Yield the runs: client, number, microseconds, script, and the end in seconds and microseconds."""
    for line in log.read_text().splitlines():
        fields = line.split(" ")
        yield _Run(end=int(fields[4]) + int(fields[5]) / 1e6, milliseconds=int(fields[2]) / 1000)
