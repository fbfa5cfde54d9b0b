"""The test stand: PostgreSQL, the service and the denominators' servers, and what is read around each block."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trustme
from rich.console import Console

from benchmarks import loads
from benchmarks.blocks import Block, Probe, Subject, interleave
from benchmarks.errors import BenchError
from benchmarks.generator.work import Work
from benchmarks.loads import Script
from benchmarks.machine import TOLERATED, busiest
from benchmarks.options import Options
from benchmarks.postgres import FROZEN, FROZEN_LOGIN, Server
from benchmarks.service import API_KEY, Process, Service, wait_until_answered
from rehearsal.host.sockets import free_port

#: The generator must be faster than what it measures by this factor.
MARGIN = 5
_REPOSITORY = Path(__file__).parents[1]
_WATCH_SECONDS = 2.0
_NULL_SECONDS = 3.0


class Stand:
    """`start` it, run rows on it, and `stop` it in any case."""

    def __init__(self, directory: Path, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.server = Server(directory / "postgresql")
        self.service = Service(directory=directory, database_port=0)
        self._api: Process | None = None
        self._worker: Process | None = None
        #: Processes beside the service whose time is read too.
        self.beside: dict[str, int] = {}

    @property
    def api(self) -> Process:
        """The api under load."""
        if self._api is None:
            raise BenchError("the api is not running")
        return self._api

    @property
    def worker(self) -> Process:
        """The worker beside it."""
        if self._worker is None:
            raise BenchError("the worker is not running")
        return self._worker

    def start(self) -> None:
        """Start everything.

        Raises:
            BenchError: Something did not start, or others use the machine.
        """
        for log in self.directory.glob("*.log"):
            log.unlink()
        self.require_quiet()
        self.server.start()
        self.service.database_port = self.server.port
        self.service.migrate()
        self.server.create_frozen()
        self._api = self.service.start_api()
        self._worker = self.service.start_worker()

    def stop(self) -> None:
        """Stop everything."""
        self.service.stop()
        self.server.stop()

    def require_quiet(self) -> None:
        """Watch the machine for two seconds.

        Raises:
            BenchError: Others take more than a tenth of a core.
        """
        before = self.probe().now()
        time.sleep(_WATCH_SECONDS)
        others = before.share_of_others(self.probe().now())
        if others <= TOLERATED:
            return
        what = f"other processes take {others:.0%} of a core ({busiest()})"
        if not self.options.anyway:
            raise BenchError(f"{what}; nothing can be judged beside them. Stop them, or set ANYWAY=1 to look anyway")
        self.console.print(f"[yellow]{what}: what follows judges nothing[/]")

    def probe(self) -> Probe:
        """Return what is read around each block."""
        return Probe(processes=self._processes, wal_position=self.server.wal_position, roots=self._roots)

    def interleave(self, subjects: Sequence[Subject], *, rounds: int | None = None) -> list[Block]:
        """Run the subjects in turn, as often as the options say."""
        return interleave(
            subjects,
            rounds or self.options.rounds,
            self.probe(),
            anyway=self.options.anyway,
            show=self._show,
            warmed=self._analyze,
        )

    def api_subject(self, name: str, flow: str = "create", **changes: object) -> Subject:
        """Return the api under a closed loop of `flow`; `changes` are fields of `Work`."""
        return Subject(name=name, load=lambda begin: loads.https(self.work(self.api.port, flow, **changes), begin))

    def work(self, port: int, flow: str, **changes: object) -> Work:
        """Return a closed loop with the options' figures."""
        fields: dict[str, object] = {
            "port": port,
            "flow": flow,
            "seconds": self.options.block_seconds,
            "connections": self.options.in_flight,
            "keys": (API_KEY,),
            **changes,
        }
        return Work(**fields)  # type: ignore[arg-type]  # the fields of Work, by name

    def denominator(self, name: str, script: Script, *, rate: float | None = None) -> Subject:
        """Return a script of the denominators; the service is paused meanwhile."""
        return Subject(
            name=name,
            warm_up=False,  # each run of pgbench has its own
            around=self.service.paused,
            load=lambda begin: loads.pgbench(
                self.server,
                script,
                begin,
                seconds=self.options.block_seconds,
                connections=self.options.in_flight,
                rate=rate,
            ),
        )

    def flask(self, name: str) -> Subject:
        """Start the bare Flask view; the service is paused while it is measured."""
        port = free_port()
        environment = self.service.environment("flask", port=port) | {
            "PGDATABASE": FROZEN,
            "PGUSER": FROZEN_LOGIN,
            "PYTHONPATH": str(_REPOSITORY),
        }
        flask = self.service.start("flask", environment, module="benchmarks.denominators.flask_bare")
        flask.port = port
        wait_until_answered(flask, "/readyz")
        return Subject(
            name=name,
            around=lambda: self.service.paused(besides=flask),
            load=lambda begin: loads.https(self.work(port, "create"), begin),
        )

    def null(self) -> float:
        """Return how many requests a second the generator sends to a server that does nothing."""
        certificate, key = self.directory / "null.crt", self.directory / "null.key"
        leaf = trustme.CA().issue_cert("localhost")
        leaf.cert_chain_pems[0].write_to_path(certificate)
        key.touch(mode=0o600)
        leaf.private_key_pem.write_to_path(key)
        with null_server(certificate, key) as port, self.service.paused():
            load = loads.https(self.work(port, "create", seconds=min(self.options.block_seconds, _NULL_SECONDS)))
        return load.units / load.seconds

    def _processes(self) -> dict[str, int]:
        running = {process.name: process.pid for process in self.service.processes} | self.beside
        return {**running, "postgresql": self.server.pid} if self.server.is_running else running

    def _analyze(self) -> None:
        """Have every connection plan anew: a plan that was made on empty tables may read all rows of a merchant."""
        for database in (FROZEN, self.service.database):
            self.server.execute(database, "ANALYZE")

    def _roots(self) -> list[int]:
        return [os.getpid()]

    def _show(self, block: Block) -> None:
        p99 = f", p99 {block.latency_ms['p99']:.0f} ms" if block.latency_ms else ""
        failed = f", [red]failed: {dict(block.failures)}[/]" if block.failures else ""
        others = f", [yellow]others {block.others:.0%} of a core[/]" if block.others > TOLERATED else ""
        self.console.print(
            f"  round {block.round + 1}  {block.subject:<24} {block.per_second:8.1f}/s{p99}{failed}{others}"
        )


@contextmanager
def null_server(*certificate: Path) -> Iterator[int]:
    """Run a server that answers everything at once; yields its port."""
    command = [sys.executable, "-m", "benchmarks.generator.null_server", *map(str, certificate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_REPOSITORY) as server:
        try:
            if server.stdout is None:
                raise BenchError("the null server has no output")
            yield int(server.stdout.readline())
        finally:
            server.terminate()
