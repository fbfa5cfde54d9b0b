"""The PostgreSQL server of the bench: durable, on plain loopback, with a database for the service and a frozen one."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.errors import BenchError
from rehearsal.host.sockets import LOOPBACK, free_port
from rehearsal.rds.postgresql import ENVIRONMENT, program, unprivileged_prefix

SUPERUSER = "postgres"
OWNER = "payments_owner"
FROZEN = "frozen"
PAYMENTS = "payments"
FROZEN_LOGIN = "frozen_login"
_DENOMINATORS = Path(__file__).parent / "denominators"
_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # No checkpoint inside a block, except where a row asks for one.
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
}
_START_SECONDS = 30.0


class Server:
    """`start` it, and `stop` it in any case; its data is removed before and after."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._data = self._directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: psycopg.Connection | None = None
        self.port = 0

    @property
    def is_running(self) -> bool:
        """Whether it was started."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The postmaster."""
        if self._process is None:
            raise BenchError("PostgreSQL is not running")
        return self._process.pid

    def conninfo(self, database: str, *, user: str = SUPERUSER) -> str:
        """Return a connection string."""
        return make_conninfo(host=LOOPBACK, port=self.port, user=user, dbname=database, sslmode="disable")

    def start(self) -> None:
        """Initialize and start the server, and create both databases.

        Raises:
            BenchError: A step failed.
        """
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        prefix = unprivileged_prefix(self._directory)
        if prefix and prefix[0] == "setpriv":
            shutil.chown(self._directory, "nobody")
        initialize = ["initdb", f"--pgdata={self._data}", f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8"]
        _run([*prefix, program(initialize[0]), *initialize[1:], "--locale=C", "--no-sync"])
        self.port = free_port()
        settings = {"listen_addresses": LOOPBACK, "port": str(self.port), "unix_socket_directories": "", **_SETTINGS}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, program("postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                cwd=self._directory,
            )
        self._wait_until_ready()
        self._create_databases()

    def stop(self) -> None:
        """Stop the server at once and remove its data."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)

    @contextmanager
    def without_autovacuum(self) -> Iterator[None]:
        """Keep autovacuum away, whose records of the log belong to no payment."""
        for statement in ("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"):
            self.execute("postgres", statement)
        while self.query("postgres", "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"):
            time.sleep(0.05)
        try:
            yield
        finally:
            for statement in ("ALTER SYSTEM RESET autovacuum", "SELECT pg_reload_conf()"):
                self.execute("postgres", statement)

    def wal_position(self) -> int:
        """Return the bytes of write-ahead log since the cluster exists."""
        if self._reader is None:  # kept: a new connection would take longer than some payments
            self._reader = psycopg.connect(self.conninfo("postgres"), autocommit=True)
        row = self._reader.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        return int(row[0]) if row else 0

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.conninfo("postgres")).close()
            except psycopg.OperationalError as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._directory / "log").read_text(errors="replace")[-2000:]
                    raise BenchError(f"PostgreSQL did not start: {log}") from error
                time.sleep(0.05)
            else:
                return

    def _create_databases(self) -> None:
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
            connection.execute(f"CREATE DATABASE {FROZEN}")
        self.create_service_database(PAYMENTS)

    def create_service_database(self, name: str) -> None:
        """Create an empty database as the service's `migrate` finds one."""
        self.execute("postgres", f"CREATE DATABASE {name} OWNER {OWNER}")
        self.execute(name, f"ALTER SCHEMA public OWNER TO {OWNER}")

    def execute(self, database: str, statement: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> None:
        """Run one statement as superuser, outside a transaction."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            connection.execute(statement.encode(), parameters or None)

    def query(
        self, database: str, statement: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[object, ...]]:
        """Return the rows of one statement, as superuser."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()

    def create_frozen(self) -> None:
        """Create the schema and the functions of the denominators; after the service's migrations, which make roles."""
        for name in ("roles", "schema", "c1", "seed"):
            # A session each: the dump empties the search path of its own.
            self.run_script(FROZEN, _DENOMINATORS / f"{name}.sql")
        _run([program("pgbench"), "--initialize", "--scale=10", "--quiet", self.conninfo(FROZEN)])
        tables = "pgbench_accounts, pgbench_tellers, pgbench_branches, pgbench_history"
        self.execute(FROZEN, f"GRANT ALL ON {tables} TO {FROZEN_LOGIN}")

    def run_script(self, database: str, path: Path) -> None:
        """Run a file of SQL in a session of its own, with psql.

        Raises:
            BenchError: A statement failed.
        """
        options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={path}"]
        _run([program("psql"), *options, self.conninfo(database)])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env={**ENVIRONMENT, "HOME": os.devnull}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command[:-1])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
