"""A connection whose statements travel together: those that nobody waits for leave with the next that somebody does.

:meth:`Connection.queue` keeps a statement, which is prepared once per connection. The queue leaves in one round trip,
in libpq's pipeline mode, when a result is read, when a statement is executed otherwise, or with the COMMIT. The server
executes it in its order, as if each statement had been waited for; after an error it executes nothing that follows.
"""

import os
import re
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow

_Row = TypeVar("_Row")
#: Whether a statement is executed in a tenant's scope, where its plan is another, and its text.
_StatementKey = tuple[bool, bytes]
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
#: Severity of an error after which the server keeps the connection: it has rolled back, and says so.
_ERROR = "ERROR"
_BEGIN, _COMMIT = b"BEGIN", b"COMMIT"
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)
#: Whether a COMMIT that was not refused was sent for the request that this thread serves.
_sent_commit: ContextVar[bool] = ContextVar("sent_commit", default=False)


class CommitUnanswered(psycopg.OperationalError):
    """The connection was lost at COMMIT: nobody here knows whether it was carried out."""


def begin_request() -> None:
    """Start over: no COMMIT was sent yet for the request that this thread serves."""
    _sent_commit.set(False)


def may_have_committed() -> bool:
    """Return whether this thread has sent a COMMIT since :func:`begin_request`, and the server has not refused it."""
    return _sent_commit.get()


def note_commit() -> None:
    """Remember that another thread has sent a COMMIT for the request that this thread serves."""
    _sent_commit.set(True)


class Reply:
    """The result of a queued statement; reading it sends the queue, if that has not happened."""

    def __init__(self, connection: "Connection", statement: bytes, parameters: Sequence[object]) -> None:
        self._connection = connection
        self.statement = statement
        self.parameters = parameters
        self.result: PGresult | None = None

    def one(self, make: Callable[[DictRow], _Row]) -> _Row | None:
        """Return the first row as ``make`` makes it; ``None`` if there is no row."""
        rows = self._connection.rows(self._received())
        return make(rows[0]) if rows else None

    def all(self) -> list[DictRow]:
        """Return the rows."""
        return self._connection.rows(self._received())

    @property
    def rowcount(self) -> int:
        """How many rows were inserted, updated, deleted or returned."""
        return self._received().command_tuples or 0

    def _received(self) -> PGresult:
        if self.result is None:
            self._connection.flush()
        if self.result is None:
            raise RuntimeError("The transaction has ended without this statement.")
        return self.result


class Connection(psycopg.Connection[DictRow]):
    """A connection with a queue of statements. Only one thread uses it at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: psycopg's own signature
        super().__init__(*args, **kwargs)
        self._queue: list[Reply] = []
        self._transformer = Transformer(self)
        self._statements: dict[_StatementKey, bytes] = {}
        self._numbers = count()
        #: The merchant and mode that row-level security restricts the transaction to.
        self._scope: tuple[str, bool] | None = None
        #: On the monotonic clock.
        self._last_used = time.monotonic()

    def queue(self, query: str, parameters: Mapping[str, object] | None = None) -> Reply:
        """Queue a statement with named parameters, whose types the server derives from where they stand.

        Its errors are raised when its result, or that of a later one, is read, or by :meth:`commit`.
        """
        statement, names = _compile(query)
        reply = Reply(self, statement, [parameters[name] for name in names] if parameters else ())
        self._queue.append(reply)
        return reply

    def begin_in_scope(self, merchant_id: str, *, livemode: bool) -> None:
        """Begin a transaction that row-level security restricts to one merchant and mode (migration 0004)."""
        self.queue(_BEGIN.decode())
        self.enter_scope(merchant_id, livemode=livemode)

    def enter_scope(self, merchant_id: str, *, livemode: bool) -> None:
        """Have row-level security restrict the transaction to one merchant and mode from now on."""
        if self._scope == (merchant_id, livemode):
            return
        self._scope = (merchant_id, livemode)
        self.queue(
            "SELECT set_config('role', 'payments_merchant', true),"
            " set_config('app.merchant_id', %(merchant_id)s, true), set_config('app.livemode', %(livemode)s, true)",
            {"merchant_id": merchant_id, "livemode": "true" if livemode else "false"},
        )

    def limit_lock_waits(self, milliseconds: int) -> None:
        """Give up what waits longer for a lock, until the transaction ends."""
        self.queue("SELECT set_config('lock_timeout', %(wait)s, true)", {"wait": f"{milliseconds}ms"})

    if not TYPE_CHECKING:  # its types are psycopg's own overloads

        def cursor(self, *args, **kwargs):
            """Return a cursor as psycopg has them, after the queue was sent."""
            self.flush()
            return super().cursor(*args, **kwargs)

    def commit(self) -> None:
        """Send the queue and a COMMIT.

        Raises:
            CommitUnanswered: The connection was lost meanwhile: it may have been carried out.
        """
        before = _sent_commit.set(True)
        try:
            if self._queue:
                self.queue(_COMMIT.decode())
                self.flush()
            else:
                super().commit()
        except psycopg.Error as error:
            if error.diag.severity_nonlocalized == _ERROR:
                _sent_commit.reset(before)  # an answer: it was rolled back
                raise
            raise CommitUnanswered("The database did not answer a COMMIT.") from error
        finally:
            self._scope = None  # as local settings end

    def is_usable(self, *, check_after_idle: float) -> bool:
        """Return whether the server still serves the connection; it is asked if that was idle for so many seconds.

        A statement that is sent on a connection which has ended is lost with what travels behind it, perhaps a COMMIT.
        """
        try:
            if time.monotonic() - self._last_used > check_after_idle:
                self.execute("SELECT 1")
                self.rollback()
            else:
                self._receive_news()
        except psycopg.OperationalError:
            return False
        return True

    def _receive_news(self) -> None:
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        while poll.poll(0):  # the server of an idle connection has nothing to say but notices and farewells
            self.pgconn.consume_input()

    def rollback(self) -> None:
        """Roll back, and forget what was queued.

        psycopg's own would also deallocate every prepared statement, which PostgreSQL keeps.

        Raises:
            psycopg.OperationalError: The connection was lost.
        """
        self._queue.clear()
        self._scope = None
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            result = self.pgconn.exec_(b"ROLLBACK")
            if result.status != ExecStatus.COMMAND_OK:
                raise _error(result)

    def shut_down(self) -> None:
        """End the connection while another thread waits for it: that thread finds it lost."""
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as own:  # libpq's descriptor stays libpq's
            own.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Roll back what was not committed; close the connection if that is impossible."""
        self._last_used = time.monotonic()
        if not self.closed:
            try:
                self.rollback()
            except psycopg.OperationalError:
                self.close()

    def rows(self, result: PGresult) -> list[DictRow]:
        """Return the rows of ``result`` by the names of their columns."""
        names = [(result.fname(index) or b"").decode() for index in range(result.nfields)]
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, lambda values: dict(zip(names, values, strict=True)))

    def flush(self) -> None:
        """Send the queue, and receive its results.

        Raises:
            psycopg.Error: Of the first statement that failed.
        """
        if not self._queue:
            return
        if self.pgconn.transaction_status == TransactionStatus.IDLE and self._queue[0].statement != _BEGIN:
            self._queue.insert(0, Reply(self, _BEGIN, ()))
        queue, self._queue = self._queue, []
        sent: list[Reply | _StatementKey] = []
        try:
            self.pgconn.enter_pipeline_mode()
            for reply in queue:
                sent += self._send(reply)
            self.pgconn.pipeline_sync()
            results = self._receive()
            self.pgconn.exit_pipeline_mode()
        except BaseException:
            self.close()  # half of a conversation
            raise
        self._store(sent, results)

    def _store(self, sent: Sequence["Reply | _StatementKey"], results: Sequence[PGresult]) -> None:
        failed = [result for result in results if result.status in _FAILED]
        for what, result in zip(sent, results, strict=True):
            if isinstance(what, Reply):
                what.result = None if result in failed else result
            elif result in failed:
                self._statements.pop(what)
        if failed:
            raise _error(failed[0])

    def _send(self, reply: Reply) -> list["Reply | _StatementKey"]:
        """Send a statement, after its preparation if it is new here; returns whose the results will be."""
        is_control = reply.statement in (_BEGIN, _COMMIT)
        key = (self._scope is not None and not is_control, reply.statement)
        name = self._statements.get(key)
        sent: list[Reply | _StatementKey] = [reply]
        if name is None:
            # Where a transaction begins and ends stays legible in what travels.
            name = reply.statement if is_control else b"statement_%d" % next(self._numbers)
            self._statements[key] = name
            self.pgconn.send_prepare(name, reply.statement)
            sent.insert(0, key)
        values = reply.parameters
        dumped = self._transformer.dump_sequence(values, [PyFormat.TEXT] * len(values)) if values else None
        self.pgconn.send_query_prepared(name, dumped)
        return sent

    def _receive(self) -> list[PGresult]:
        """Return the results until the end of the queue, while other threads run."""
        pgconn, results = self.pgconn, list[PGresult]()
        poll = select.poll()
        while True:
            unsent = pgconn.flush()
            while unsent or pgconn.is_busy():
                poll.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
                poll.poll()
                pgconn.consume_input()
                unsent = pgconn.flush()
            result = pgconn.get_result()
            if result is None:
                if pgconn.status == ConnStatus.BAD:
                    raise _error(results[-1]) if results else psycopg.OperationalError("The connection was lost.")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return results
            else:
                results.append(result)
                pgconn.get_result()  # None: the end of this statement, without asking, as each question lets the GIL go


def _error(result: PGresult) -> psycopg.Error:
    """Return the exception for ``result``; without an SQLSTATE it comes from libpq: the connection was lost."""
    error = psycopg.errors.error_from_result(result)
    return error if error.sqlstate else psycopg.OperationalError(str(error))


@lru_cache(maxsize=1024)
def _compile(query: str) -> tuple[bytes, tuple[str, ...]]:
    """Return ``query`` with numbered instead of named parameters, and their names in that order."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(query)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _PLACEHOLDER.sub(lambda match: numbers[match[1]], query).encode(), names
