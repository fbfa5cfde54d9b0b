"""Connections and transactions. Whatever the use case does not commit is rolled back."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from payments.core.cutoff import CUTOFF
from payments.domain.tenancy import TenantScope
from payments.observability import timing
from payments.repositories.connection import Connection
from payments.repositories.connection_failures import explain
from payments.repositories.group_commit import GroupCommit, UnitOfWork
from payments.repositories.schema import SchemaOutdated, require_current

_Result = TypeVar("_Result")
_log = logging.getLogger("payments.database")
#: Exit code of a process that cannot use the database: its credentials are rejected, or the schema is outdated.
EXIT_DATABASE_UNUSABLE = 3
#: SQLSTATE class of rejected credentials.
_INVALID_AUTHORIZATION = "28"
#: Seconds after which an idle pooled connection is checked before use.
_CHECK_AFTER_IDLE = 1.0
#: Milliseconds. No statement of a request should take as long; below the processor's deadline.
_STATEMENT_TIMEOUT = 5_000
#: How long it waits for a lock. Whatever else takes locks for longer stalls payments.
LONGEST_LOCK_WAIT = 3_000
_IDLE_TIMEOUT = 15_000


class DatabaseUnavailable(Exception):  # noqa: N818 - a condition, not a fault
    """The database cannot be written to at the moment; the transaction was not committed."""


class Database:
    """A pool of connections, configured by libpq's environment variables or by ``conninfo``.

    After a failover, dead connections are detected and replaced before use. ``credentials_rejected`` is set when the
    server rejects the credentials: they were rotated, and the process must be replaced. No connection is used before
    the schema is known to be current; ``schema_outdated`` is set when it is not.

    Args:
        conninfo: A libpq connection string.
        size: The maximum number of connections.
        timeout: Seconds to wait for a connection.
        name: Name of the application, as the server shows it.
        span: Name under which the time in transactions is measured.
        patience: Seconds after which a transaction is given up whose server does not answer at all. The time-outs of
            statements are the server's own, which keeps none of them while it hangs. ``None`` waits without limit.
    """

    def __init__(
        self,
        conninfo: str = "",
        *,
        size: int = 16,
        timeout: float = 3.0,
        name: str = "payments",
        span: str = "database",
        patience: float | None = None,
    ) -> None:
        self._span = span
        self._timeout = timeout
        self._patience = patience
        self._groups: dict[str, GroupCommit] = {}
        self.credentials_rejected = threading.Event()
        self.schema_outdated = threading.Event()
        rejected, outdated, current = self.credentials_rejected, self.schema_outdated, threading.Event()

        class _Connection(Connection):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> "_Connection":  # Any: psycopg's own signature
                try:
                    connection = super().connect(*args, **kwargs)
                except psycopg.OperationalError as error:
                    if _is_rejection(error):
                        rejected.set()
                    raise
                if not current.is_set():
                    _require_current_schema(connection, outdated)
                    current.set()
                return connection

        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            make_conninfo(conninfo, **_defaults(name)),
            connection_class=_Connection,
            kwargs={"row_factory": dict_row},
            min_size=min(2, size),
            max_size=size,
            timeout=timeout,
            reconnect_timeout=60,
            name=name,
            open=False,
        )
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection; those in use are closed when they are returned."""
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection whose transaction is rolled back at the end unless the caller commits it.

        It sees the rows of all merchants. To serve one merchant, use :meth:`tenant_transaction`.

        Raises:
            DatabaseUnavailable: No connection became available in time, the server is read-only, or it has ended a
                transaction that idled for too long.
            CommitUnanswered: The connection was lost at COMMIT.
        """
        with timing.span(self._span):
            yield from self._transaction()

    @contextmanager
    def tenant_transaction(self, tenant: TenantScope) -> Iterator[Connection]:
        """Yield a connection that sees and writes rows of ``tenant`` only, whatever its statements say.

        Raises:
            DatabaseUnavailable: See :meth:`transaction`.
        """
        with self.transaction() as connection:
            connection.begin_in_scope(tenant.merchant_id, livemode=tenant.livemode)
            yield connection

    def commit_together(
        self, kind: str, work: UnitOfWork[_Result], *, tenant: TenantScope | None = None, locks: str
    ) -> _Result:
        """Return the result of ``work``, committed together with others of its ``kind``; see :class:`GroupCommit`.

        Raises:
            DatabaseUnavailable: See :meth:`transaction`.
            CommitUnanswered: The connection was lost at COMMIT.
        """
        with timing.span(self._span):
            return self._group(kind, tenant).run(work, tenant=tenant, locks=locks)

    def _group(self, kind: str, _: TenantScope | None) -> GroupCommit:
        if kind not in self._groups:
            self._groups.setdefault(kind, GroupCommit(contextmanager(self._transaction)))
        return self._groups[kind]

    def _transaction(self) -> Iterator[Connection]:
        try:
            connection = self._usable_connection()
        except PoolTimeout as error:
            raise DatabaseUnavailable("No database connection became available in time.") from error
        try:
            with self._bounded(connection):
                yield connection
        except psycopg.errors.ReadOnlySqlTransaction as error:
            connection.close()  # the writer has become a reader: the pool reconnects to the new writer
            raise DatabaseUnavailable(
                "The database connection has become read-only (failover); nothing was committed."
            ) from error
        except psycopg.errors.IdleInTransactionSessionTimeout as error:
            raise DatabaseUnavailable("The database has ended a transaction that idled for too long.") from error
        finally:
            self._return(connection)

    def _usable_connection(self) -> Connection:
        """Return a connection that the server has not ended.

        The pool's own check pauses for a second or more after each dead connection, of which a failover leaves many.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            connection = self._pool.getconn(deadline - time.monotonic())
            with self._bounded(connection):
                if connection.is_usable(check_after_idle=_CHECK_AFTER_IDLE):
                    return connection
            connection.close()
            self._pool.putconn(connection)

    def _return(self, connection: Connection) -> None:
        with self._bounded(connection):
            connection.end()
        self._pool.putconn(connection)  # type: ignore[arg-type]  # it came from this pool

    def _bounded(self, connection: Connection) -> AbstractContextManager[None]:
        """Return a context that ends ``connection`` when patience does."""
        if self._patience is None:
            return nullcontext()
        return CUTOFF.after(self._patience, connection.shut_down)

    def is_ready(self) -> bool:
        """Return whether the database responds."""
        try:
            with self.transaction() as connection:
                connection.execute("SELECT 1")
        except (DatabaseUnavailable, psycopg.Error):
            return False
        return True


def now(tx: Connection) -> datetime:
    """Return the time by the database's clock, the only one that stored times are compared with."""
    row = tx.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None  # noqa: S101 - this SELECT returns a row
    moment: datetime = row["now"]
    return moment


def fatal_conditions(database: Database) -> tuple[tuple[threading.Event, str], ...]:
    """Return the events upon which the process must be replaced, each with the message to log."""
    return (
        (
            database.credentials_rejected,
            "the database rejects the credentials; exiting to be replaced",
        ),
        (
            database.schema_outdated,
            "the schema is older than this release; exiting, see the log of `migrate`",
        ),
    )


def probe(conninfo: str = "", *, name: str, deadline: float) -> None:
    """Connect once, so that whoever waits for a pool knows why there is no connection.

    Args:
        conninfo: A libpq connection string.
        name: Name of the application, as the server shows it.
        deadline: Seconds during which a server that may yet answer is tried again.

    Raises:
        ConnectionFailure: There is no connection.
        SchemaOutdated: The schema is older than this release.
    """
    end = time.monotonic() + deadline
    while True:
        try:
            with psycopg.connect(make_conninfo(conninfo, **_defaults(name))) as connection:
                require_current(connection)
        except psycopg.Error as error:
            failure = explain(error)
            if not failure.is_transient or time.monotonic() + 1 > end:
                raise failure from error
        else:
            return
        time.sleep(1)


def require_current_schema(conninfo: str = "", *, name: str) -> None:
    """Refuse to start on a schema that is older than this release.

    A database that does not respond proves nothing: new tasks must be able to start during a failover. They serve
    nothing until it responds, and then :class:`Database` checks again.

    Raises:
        SchemaOutdated: The schema is older.
    """
    try:
        with psycopg.connect(make_conninfo(conninfo, **_defaults(name))) as connection:
            require_current(connection)
    except psycopg.Error as error:
        _log.warning("schema version not known yet", extra={"reason": str(error)})


def _defaults(name: str) -> dict[str, str | int]:
    """Return the options of every connection: a writer, quick failure, and bounded waits inside the server."""
    return {
        "application_name": name,
        "connect_timeout": 5,
        "target_session_attrs": "read-write",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": f"-c statement_timeout={_STATEMENT_TIMEOUT} -c lock_timeout={LONGEST_LOCK_WAIT} "
        f"-c idle_in_transaction_session_timeout={_IDLE_TIMEOUT} -c timezone=UTC " + os.environ.get("PGOPTIONS", ""),
        # libpq would ignore PGOPTIONS in favour of this option; appended, it takes precedence.
    }


def _require_current_schema(connection: Connection, outdated: threading.Event) -> None:
    """Close a new connection that must not be used; set ``outdated`` if the schema is the reason."""
    try:
        require_current(connection)
    except SchemaOutdated:
        outdated.set()
        connection.close()
        raise
    except psycopg.Error:
        connection.close()
        raise


def _is_rejection(error: psycopg.OperationalError) -> bool:
    """Return whether the server rejected the credentials. libpq reports failed connections by message only."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_INVALID_AUTHORIZATION)
    message = str(error)
    return "password authentication failed" in message or "is not permitted to log in" in message
