"""The world of a storm: PostgreSQL, two api processes, two workers, and a link wherever they talk to each other."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import requests

from tests.proof.link import Link, Network
from tests.service.fixtures import RUN, Postgres, make_migrated_database
from tests.service.postgres_server import PostgresServer
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
#: The machine never loses power here, so that the operating system need not write to the disk; every other promise of
#: durability stays on, since PostgreSQL itself is killed.
_DURABLE = {"fsync": "off", "max_connections": "300"}
#: Seconds that a killed worker's webhook messages wait: more than a delivery takes.
_WEBHOOK_LEASE = 20
#: Seconds by which the clock of the second api and of the second worker are ahead.
AHEAD = 3600


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class StormPostgres(PostgresServer):
    """A server that can be killed and frozen."""

    @property
    def socket_file(self) -> str:
        """Where it listens."""
        return f"{self._socket}/.s.PGSQL.5432"

    def signal_all(self, number: signal.Signals) -> None:
        """Signal the server and each of its processes."""
        assert self._process is not None
        for pid in (self._process.pid, *children(self._process.pid)):
            _signal(pid, number)

    def kill_backend(self) -> None:
        """Kill one process that serves a connection: the server then ends all of them, and recovers from its log."""
        with psycopg.connect(self.conninfo, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                " LIMIT 1"
            ).fetchone()
        if row:
            _signal(row[0], signal.SIGKILL)


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)


@dataclass(kw_only=True)
class Victim:
    """A process of the service that is killed, frozen and started again."""

    name: str
    command: str
    environment: Mapping[str, str]
    folder: Path
    #: Its way to PostgreSQL.
    database: Link
    #: The clients' way to it.
    clients: Link | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Everything it ever logged."""
        return self.folder / "log"

    def start(self) -> None:
        """Start it, in a process group of its own."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.proof.launch", self.command],
                cwd=ROOT,
                env=dict(self.environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        assert self._process is not None
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group."""
        assert self._process is not None
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(20)

    def revive(self) -> None:
        """Start it again if it has ended by itself, as ECS does."""
        assert self._process is not None
        if self._process.poll() is not None:
            self.signal(signal.SIGKILL)  # what it may have left behind
            self.start()


@dataclass(kw_only=True)
class World:
    """Everything that a storm has to do with."""

    server: StormPostgres
    postgres: Postgres
    network: Network
    apis: list[Victim] = field(default_factory=list)
    workers: list[Victim] = field(default_factory=list)

    @property
    def victims(self) -> list[Victim]:
        """Every process of the service."""
        return [*self.apis, *self.workers]

    def find(self, name: str) -> Victim:
        """Return one process."""
        return next(victim for victim in self.victims if victim.name == name)

    def urls(self) -> list[str]:
        """Where clients reach the api."""
        return [f"https://127.0.0.1:{api.clients.port}" for api in self.apis if api.clients]

    def is_ready(self, api: Victim) -> bool:
        """Return whether an api answers, past its link."""
        api.revive()
        try:
            url = f"https://127.0.0.1:{api.environment['PORT']}/readyz"
            return requests.get(url, verify=False, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def payments_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m payments ...` as an operator does."""
        environment = {**self.workers[0].environment, "STORM_AHEAD": "0"}
        return subprocess.run(
            [sys.executable, "-m", "tests.proof.launch", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@contextmanager
def world(folder: Path, **more: str) -> Iterator[World]:
    """Start everything, ready to be used; `more` are variables of every process."""
    with ExitStack() as stack:
        server = StormPostgres(RUN, _DURABLE)
        stack.callback(server.stop)
        server.start()
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE payments_owner LOGIN CREATEROLE")
        postgres = make_migrated_database(server.conninfo, "payments")
        network = Network()
        stack.callback(network.close)
        made = World(server=server, postgres=postgres, network=network)
        for command, group in (("api", made.apis), ("worker", made.workers)):
            for number in (1, 2):
                group.append(_victim(made, folder, command, number, more))
        for victim in made.victims:
            victim.start()
            stack.callback(victim.kill)
        for api in made.apis:
            wait_until(partial(made.is_ready, api), f"{api.name}; see {api.log}")
        yield made


def _victim(made: World, folder: Path, command: str, number: int, more: Mapping[str, str]) -> Victim:
    name = f"{command}{number}"
    own = folder / name
    own.mkdir(parents=True)
    port = free_port()
    database = made.network.link(made.server.socket_file)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "service"),
        "TMPDIR": str(own),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(database.port),
        "PGDATABASE": "payments",
        "PGUSER": "payments_service",
        "PGPASSWORD": "app-password",
        "PGSSLMODE": "disable",
        "ENVIRONMENT": "storm",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "ALLOW_LOCAL_WEBHOOKS": "true",
        "STORM_LEASE": str(_WEBHOOK_LEASE),
        "STORM_AHEAD": str(AHEAD if number == 2 else 0),
        **more,
    }
    return Victim(
        name=name,
        command=command,
        environment=environment,
        folder=own,
        database=database,
        clients=made.network.link(port) if command == "api" else None,
    )
