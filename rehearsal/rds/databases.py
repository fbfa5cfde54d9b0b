"""The database servers of a rehearsal."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.processes import ProcessTable
from rehearsal.rds.server import DatabaseServer, DatabaseSpec


class Databases:
    """The database servers, by cluster identifier."""

    def __init__(self, directory: Path, *, logs: Path, table: ProcessTable, authority: CertificateAuthority) -> None:
        self._directory = directory
        self._logs = logs
        self._table = table
        self._authority = authority
        self._servers: dict[str, DatabaseServer] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._starting: set[asyncio.Task[DatabaseServer]] = set()

    @property
    def running(self) -> Mapping[str, DatabaseServer]:
        """The running servers by cluster identifier."""
        return self._servers

    def find(self, endpoint: str) -> DatabaseServer | None:
        """Return the server that stands in for an endpoint's host name; None when there is none."""
        return next((server for server in self._servers.values() if endpoint in server.spec.endpoints), None)

    async def ensure(self, spec: DatabaseSpec) -> DatabaseServer:
        """Start a server, or update the endpoints of the running one.

        A start goes on when its caller is cancelled: only `delete_all` ends it, and waits for that.

        Raises:
            DatabaseError: The server did not start.

        """
        task = asyncio.create_task(self._ensure(spec))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return await asyncio.shield(task)

    async def _ensure(self, spec: DatabaseSpec) -> DatabaseServer:
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
        """Stop a server and remove its data, if it exists."""
        async with self._locks.setdefault(identifier, asyncio.Lock()):
            server = self._servers.pop(identifier, None)
            if server is not None:
                await server.delete()

    async def delete_all(self) -> None:
        """Stop all servers, also those that are starting, and remove their data."""
        starting = tuple(self._starting)
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(self.delete(identifier) for identifier in tuple(self._locks)))
