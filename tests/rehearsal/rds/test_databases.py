"""A database behaves to its clients like Aurora with `rds.force_ssl`, and leaves nothing behind."""

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.processes import ProcessTable, sweep_leftovers
from rehearsal.rds.databases import Databases
from rehearsal.rds.server import DatabaseServer, DatabaseSpec
from tests.waiting import wait_until_async

pytestmark = pytest.mark.rehearsal

SPEC = DatabaseSpec(
    identifier="aurora-cluster-dev",
    username="app_owner",
    password="p'w%:/@ \"1",
    database="app",
    endpoints=("aurora-cluster-dev.cluster-x.us-east-1.rds.amazonaws.com",),
)


def make(directory: Path) -> Databases:
    return Databases(
        directory / "databases",
        logs=directory / "logs",
        table=ProcessTable(directory),
        authority=CertificateAuthority(directory / "ca"),
    )


def connect(server: DatabaseServer, authority: Path, **changes: str) -> psycopg.Connection:
    parameters = {
        "host": server.host,
        "port": str(server.port),
        "dbname": SPEC.database,
        "user": SPEC.username,
        "password": SPEC.password,
        "sslmode": "verify-full",
        "sslrootcert": str(authority),
    }
    return psycopg.connect(psycopg.conninfo.make_conninfo(**(parameters | changes)))


def check_access(server: DatabaseServer, authority: Path, other: Path) -> None:
    with connect(server, authority) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("select current_user, current_setting('fsync')").fetchone() == (SPEC.username, "on")
        payload = "x" * 5_000_000
        assert connection.execute("select length(%s), %s", (payload, payload)).fetchone() == (len(payload), payload)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(server, authority, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        connect(server, authority, sslmode="disable", sslrootcert="")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect(server, other)


def test_clients_need_tls_and_the_password(tmp_path: Path) -> None:
    async def scenario() -> None:
        databases = make(tmp_path)
        try:
            server = await databases.ensure(SPEC)
            assert await databases.ensure(SPEC) is server
            assert databases.find(SPEC.endpoints[0]) is server
            assert databases.find("other") is None
            other = CertificateAuthority(tmp_path / "other").certificate
            await asyncio.to_thread(check_access, server, tmp_path / "ca" / "ca.pem", other)
            pid = server.pid
        finally:
            await databases.delete_all()
        assert pid is not None
        assert not psutil.pid_exists(pid)
        assert not list((tmp_path / "databases").iterdir())
        assert not list((tmp_path / "processes").iterdir())

    asyncio.run(scenario())


def cancel_a_query(server: DatabaseServer, authority: Path) -> None:
    running = threading.Event()
    with connect(server, authority) as sleeper, ThreadPoolExecutor() as threads:
        sleeper.add_notice_handler(lambda _: running.set())
        query = threads.submit(sleeper.execute, "do $$ begin raise notice 'running'; perform pg_sleep(60); end $$")
        assert running.wait(60)
        sleeper.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            query.result()


def test_a_running_query_can_be_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        databases = make(tmp_path)
        try:
            await asyncio.to_thread(cancel_a_query, await databases.ensure(SPEC), tmp_path / "ca" / "ca.pem")
        finally:
            await databases.delete_all()

    asyncio.run(scenario())


def test_two_databases_are_separate(tmp_path: Path) -> None:
    async def scenario() -> None:
        databases = make(tmp_path)
        other = DatabaseSpec(identifier="aurora-cluster-prod", username="owner", password="pw", database="app")
        try:
            dev, prod = await asyncio.gather(databases.ensure(SPEC), databases.ensure(other))
            assert dev.port != prod.port
            await databases.delete(SPEC.identifier)
            assert list(databases.running) == [other.identifier]
        finally:
            await databases.delete_all()

    asyncio.run(scenario())


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.rehearsal.rds.test_databases import SPEC, make
async def abandon():
    server = await make(Path(sys.argv[1])).ensure(SPEC)
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(abandon())
"""


def test_the_server_of_a_killed_rehearsal_is_swept(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    server = psutil.Process(int(killed.stdout))
    assert server.name() == "postgres"
    assert sweep_leftovers(tmp_path) == ("database aurora-cluster-dev",)
    assert not server.is_running()
    assert sweep_leftovers(tmp_path) == ()


def test_the_server_of_a_running_rehearsal_is_not_swept(tmp_path: Path) -> None:
    async def scenario() -> None:
        databases = make(tmp_path)
        try:
            await databases.ensure(SPEC)
            assert sweep_leftovers(tmp_path) == ()
        finally:
            await databases.delete_all()

    asyncio.run(scenario())


def test_a_client_that_gives_up_leaves_nothing(tmp_path: Path) -> None:
    """Its request is cancelled when it goes, and again when the runtime stops; the start ends with the databases."""

    async def scenario() -> None:
        databases = make(tmp_path)
        records = tmp_path / "processes"
        request = asyncio.create_task(databases.ensure(SPEC))
        await wait_until_async(lambda: list(records.glob("*")), "initdb")
        request.cancel()
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await databases.delete_all()
        assert list(records.glob("*")) == []
        assert list((tmp_path / "databases").glob("*")) == []

    asyncio.run(scenario())
