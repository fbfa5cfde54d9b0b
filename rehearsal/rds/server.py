"""A PostgreSQL server behind a TLS gateway, which stands in for an Aurora cluster."""

import asyncio
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import DatabaseError
from rehearsal.host.processes import ManagedProcess, ProcessTable, tail
from rehearsal.host.sockets import LOOPBACK, free_port
from rehearsal.rds.postgresql import ENVIRONMENT, UNPRIVILEGED_USER, program, unprivileged_prefix
from rehearsal.rds.tls_gateway import TlsGateway

#: The host name of every gateway, for which its certificate is valid.
GATEWAY_HOST = "localhost"

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_START_ATTEMPTS = 3
_POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class DatabaseSpec:
    """An Aurora cluster as its clients see it; `endpoints` are host names."""

    identifier: str
    username: str
    password: str = field(repr=False)
    database: str
    endpoints: tuple[str, ...] = ()


class DatabaseServer:
    """One server with its gateway; its files are below `directory` until `delete`."""

    def __init__(
        self, spec: DatabaseSpec, *, directory: Path, log: Path, table: ProcessTable, authority: CertificateAuthority
    ) -> None:
        self.spec = spec
        self._log = log
        self._directory = directory
        self._data = directory / "data"
        self._table = table
        self._authority = authority
        self._process: ManagedProcess | None = None
        self._gateway: TlsGateway | None = None

    @property
    def host(self) -> str:
        """The host that clients connect to, with `sslmode=verify-full`."""
        return GATEWAY_HOST

    @property
    def port(self) -> int:
        """The port that clients connect to (TLS only)."""
        if self._gateway is None:
            raise DatabaseError(f"database {self.spec.identifier} is not running")
        return self._gateway.port

    @property
    def pid(self) -> int | None:
        """The server process; None when it is not running."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Initialize the data directory if it is new, start server and gateway, and create the database.

        Raises:
            DatabaseError: A step failed; the message has the end of the server's log.

        """
        prefix = await asyncio.to_thread(unprivileged_prefix, self._directory)
        if not (self._data / "PG_VERSION").exists():
            await self._initialize(prefix)
        plain_port = await self._start_server(prefix)
        await self._create_database(plain_port)
        self._gateway = TlsGateway(backend_port=plain_port, context=self._authority.server_context())
        await self._gateway.start()

    async def delete(self) -> None:
        """Stop server and gateway, and remove the data."""
        if self._gateway is not None:
            await self._gateway.stop()
            self._gateway = None
        if self._process is not None:
            # "Immediate" shutdown: nobody will read what a last checkpoint would save.
            await self._process.stop(_STOP_SECONDS, by=signal.SIGQUIT)
            self._process = None
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _initialize(self, prefix: list[str]) -> None:
        password_file = self._directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.spec.password)
        if prefix and prefix[0] == "setpriv":
            for path in (self._directory, password_file):
                shutil.chown(path, UNPRIVILEGED_USER)
        command = [*prefix, program("initdb"), f"--pgdata={self._data}", f"--username={self.spec.username}"]
        command += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--no-sync", "--no-instructions"]  # the server itself runs with fsync
        process = await self._start_process(command, name="initdb for database", stop_signal=signal.SIGTERM)
        try:
            code = await process.wait()
        finally:
            await process.stop(0)
            password_file.unlink()
        if code:
            raise self._error(f"initdb for database {self.spec.identifier} exited with code {code}")

    async def _start_process(self, command: list[str], *, name: str, stop_signal: signal.Signals) -> ManagedProcess:
        return await self._table.start(
            command,
            name=f"{name} {self.spec.identifier}",
            environment=ENVIRONMENT,
            cwd=self._directory,
            log=self._log,
            stop_signal=stop_signal,
        )

    async def _start_server(self, prefix: list[str]) -> int:
        """Start the server and return its port."""
        for attempt in range(_START_ATTEMPTS):
            port = free_port()
            settings = {
                "listen_addresses": LOOPBACK,
                "port": str(port),
                "unix_socket_directories": "",
                "password_encryption": "scram-sha-256",
                "fsync": "on",
                "max_connections": "200",
            }
            command = [*prefix, program("postgres"), "-D", str(self._data)]
            command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            # SIGQUIT also for the server of a killed rehearsal: its data will be removed anyway.
            self._process = await self._start_process(command, name="database", stop_signal=signal.SIGQUIT)
            if await self._wait_until_ready(self._process):
                return port
            code = await self._process.stop(_STOP_SECONDS)
            # Another process may have taken the port before the server could bind it.
            if "could not bind" not in tail(self._log) or attempt + 1 == _START_ATTEMPTS:
                break
        self._process = None
        raise self._error(f"database {self.spec.identifier} did not start (exit code {code})")

    async def _wait_until_ready(self, process: ManagedProcess) -> bool:
        """Wait until the last line of postmaster.pid is `ready`; False when the process exits or time is up."""
        status = self._data / "postmaster.pid"
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while process.exit_code is None and asyncio.get_running_loop().time() < deadline:
            if status.exists():
                lines = status.read_text().splitlines()
                if lines and lines[0] == str(process.pid) and lines[-1].strip() == "ready":
                    return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _create_database(self, port: int) -> None:
        connection = [f"--host={LOOPBACK}", f"--port={port}", f"--username={self.spec.username}", "--no-password"]
        options = ["--no-psqlrc", "--tuples-only", "--no-align", f"--set=name={self.spec.database}"]
        query = "select 1 from pg_database where datname = :'name'"
        found = await self._run([program("psql"), *connection, *options, "postgres"], stdin=query)
        if found.strip() != "1":
            await self._run([program("createdb"), *connection, "--maintenance-db=postgres", self.spec.database])

    async def _run(self, command: list[str], *, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=ENVIRONMENT | {"PGPASSWORD": self.spec.password},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, error = await process.communicate(stdin.encode())
        if process.returncode:
            message = error.decode(errors="replace").strip()
            raise DatabaseError(f"{Path(command[0]).name} on database {self.spec.identifier}: {message}")
        return output.decode()

    def _error(self, what: str) -> DatabaseError:
        return DatabaseError(f"{what}; end of {self._log}:\n{tail(self._log)}")
