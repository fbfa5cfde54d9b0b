"""Connections and transactions. What is not committed by the use case is rolled back."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from payments.domain.operations import TenantScope
from payments.observability import timing
from payments.repositories.schema import SchemaOutdated, require_current

Connection = psycopg.Connection[DictRow]
_log = logging.getLogger("payments.database")
#: Exit code of a process that cannot use the database as it is: its credentials or the schema do not fit.
EXIT_REFUSED = 3

#: SQLSTATE class of refused credentials.
_REFUSED_CREDENTIALS = "28"
#: Seconds that a pooled connection may have been idle before it is tried out.
_TRUSTED_SECONDS = 1.0
#: Milliseconds; a statement of the request path that takes longer is broken. Below the processor's deadline.
_STATEMENT_TIMEOUT = 5_000
_LOCK_TIMEOUT = 3_000
_IDLE_TIMEOUT = 15_000


class DatabaseUnavailable(Exception):  # noqa: N818  # a condition, told to the client as 503
    """The database cannot be written to now; nothing was committed."""


class Database:
    """A pool of connections, configured by libpq's environment variables or by ``conninfo``.

    After a failover, dead connections are found before they are handed out and replaced. ``credentials_refused`` is set
    when the server refuses the process's credentials: they were rotated, and the process must be replaced. No
    connection is handed out before the schema was seen to be new enough; ``schema_outdated`` is set when it was seen
    not to be. ``span`` is where a request's time in transactions is counted.
    """

    def __init__(
        self,
        conninfo: str = "",
        *,
        size: int = 16,
        timeout: float = 3.0,
        name: str = "payments",
        span: str = "database",
    ) -> None:
        self._span = span
        self.credentials_refused = threading.Event()
        self.schema_outdated = threading.Event()
        refused, outdated, current = self.credentials_refused, self.schema_outdated, threading.Event()

        class _Connection(psycopg.Connection[DictRow]):
            last_used = 0.0

            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> "_Connection":
                try:
                    connection = super().connect(*args, **kwargs)
                except psycopg.OperationalError as error:
                    if _is_refusal(error):
                        refused.set()
                    raise
                if not current.is_set():
                    _look_at_schema(connection, outdated)
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
            check=_check,
            name=name,
            open=False,
        )
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection; requests that hold one keep it until they give it back."""
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose transaction is rolled back at the end unless the caller commits it.

        It sees every merchant's rows: for what serves one merchant there is :meth:`tenant_transaction`.

        Raises:
            DatabaseUnavailable: none could be had in time, or it leads to a server that only reads.
        """
        with timing.span(self._span):
            yield from self._transaction()

    @contextmanager
    def tenant_transaction(self, tenant: TenantScope) -> Iterator[Connection]:
        """A :meth:`transaction` that sees and writes rows of ``tenant`` only, whatever its statements forget to say.

        Raises:
            DatabaseUnavailable: as :meth:`transaction`.
        """
        with self.transaction() as connection:
            # By libpq itself: it goes with the BEGIN that psycopg would send, and costs no round trip of its own.
            result = connection.pgconn.exec_(_begin_as(tenant.merchant_id, tenant.livemode))
            if result.status != ExecStatus.COMMAND_OK:
                raise _error(result)
            yield connection

    def _transaction(self) -> Iterator[Connection]:
        try:
            connection = self._pool.getconn()
        except PoolTimeout as error:
            raise DatabaseUnavailable("No database connection could be had in time.") from error
        try:
            yield connection
        except psycopg.errors.ReadOnlySqlTransaction as error:
            connection.close()  # a writer that became a reader: the pool connects anew, to the new writer
            raise DatabaseUnavailable("The database's writer has become a reader; nothing was committed.") from error
        finally:
            self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
            try:
                connection.rollback()
            except psycopg.OperationalError:
                connection.close()
        connection.last_used = time.monotonic()  # type: ignore[attr-defined]
        self._pool.putconn(connection)  # type: ignore[arg-type]

    def is_ready(self) -> bool:
        """Whether the database answers now."""
        try:
            with self.transaction() as connection:
                connection.execute("SELECT 1")
        except (DatabaseUnavailable, psycopg.Error):
            return False
        return True


def endings(database: Database) -> tuple[tuple[threading.Event, str], ...]:
    """What ends a process, which a new one may do better than, and what to say then."""
    return (
        (
            database.credentials_refused,
            "the database refuses the credentials of this process, which ends to be replaced",
        ),
        (
            database.schema_outdated,
            "the schema is older than this release, which serves nothing and ends; the log of `migrate` says why",
        ),
    )


def require_current_schema(conninfo: str = "", *, name: str) -> None:
    """Refuse to start on a schema that is older than this release.

    A database that does not answer is no evidence: during a failover new tasks must start. They serve nothing until it
    does, and then :class:`Database` looks again.

    Raises:
        SchemaOutdated: it is older.
    """
    try:
        with psycopg.connect(make_conninfo(conninfo, **_defaults(name))) as connection:
            require_current(connection)
    except psycopg.Error as error:
        _log.warning("the schema's version is not known yet", extra={"reason": str(error)})


def _defaults(name: str) -> dict[str, Any]:
    """What every connection asks for: a writer, quick failure, and bounded waits inside the server."""
    return {
        "application_name": name,
        "connect_timeout": 5,
        "target_session_attrs": "read-write",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": f"-c statement_timeout={_STATEMENT_TIMEOUT} -c lock_timeout={_LOCK_TIMEOUT} "
        f"-c idle_in_transaction_session_timeout={_IDLE_TIMEOUT} -c timezone=UTC " + os.environ.get("PGOPTIONS", ""),
        # libpq would ignore its own variable beside the option; what it says comes last and so wins.
    }


def _error(result: PGresult) -> psycopg.Error:
    """What psycopg raises for ``result``; without an SQLSTATE it is libpq that speaks, of a lost connection."""
    error = psycopg.errors.error_from_result(result)
    return error if error.sqlstate else psycopg.OperationalError(str(error))


@lru_cache(maxsize=4096)
def _begin_as(merchant_id: str, livemode: bool) -> bytes:  # noqa: FBT001  # a key of the cache
    """Begin a transaction that row-level security holds to one merchant and mode (migration 0004)."""
    return (
        sql.SQL("BEGIN; SET LOCAL ROLE payments_merchant; SET LOCAL app.merchant_id = {}; SET LOCAL app.livemode = {}")
        .format(sql.Literal(merchant_id), sql.Literal("true" if livemode else "false"))
        .as_bytes(None)
    )


def _look_at_schema(connection: Connection, outdated: threading.Event) -> None:
    """Close a new connection that must not be used; set ``outdated`` if that is because of the schema."""
    try:
        require_current(connection)
    except SchemaOutdated:
        outdated.set()
        connection.close()
        raise
    except psycopg.Error:
        connection.close()
        raise


def _check(connection: Any) -> None:
    """Try out a connection that was idle for a while; under load nothing is asked."""
    if time.monotonic() - connection.last_used > _TRUSTED_SECONDS:
        ConnectionPool.check_connection(connection)


def _is_refusal(error: psycopg.OperationalError) -> bool:
    """Whether the server refused user or password. libpq gives no SQLSTATE for a failed connection, only its words."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_REFUSED_CREDENTIALS)
    message = str(error)
    return "password authentication failed" in message or "is not permitted to log in" in message
