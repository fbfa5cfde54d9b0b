"""Why a connection could not be made, and what to do: libpq reports failed connections by message only."""

import re

import psycopg

#: Message of libpq or of the server, what it means, and whether waiting may help. The first match counts, so that what
#: is said after a connection was made stands before what is said about making it.
_CAUSES = [
    (
        r"authentication failed|no password supplied|is not permitted to log in|role \S+ does not exist",
        "the server refuses the credentials. Check PGUSER and PGPASSWORD",
        False,
    ),
    (r"database \S+ does not exist", "the server has no such database. Check PGDATABASE", False),
    (
        "no pg_hba.conf entry",
        "the server does not let this user in from here, or not without TLS. Check PGUSER, PGDATABASE and PGSSLMODE",
        False,
    ),
    (
        "starting up|shutting down|in recovery mode|not yet accepting|too many clients|connection slots are reserved",
        "the server takes no connections at the moment. Wait, or see its log",
        True,
    ),
    (
        "session is read-only|in hot standby|is not in hot standby",
        "the server is a reader. PGHOST must name the writer (the cluster's endpoint)",
        True,
    ),
    (
        "closed the connection unexpectedly|reset by peer|received invalid response|lost synchronization",
        "what answers there is not PostgreSQL, or it went away. Check PGHOST and PGPORT",
        True,
    ),
    (
        "root certificate file|SSL|certificate|TLS",
        "the TLS handshake failed. Check PGSSLMODE and PGSSLROOTCERT, and that the certificate names PGHOST",
        False,
    ),
    (
        "could not translate host name|failed to resolve host|[Nn]ame or service not known|name resolution",
        "the name in PGHOST is unknown. Check PGHOST and the resolver",
        False,
    ),
    (
        "Connection refused",
        "nothing listens there. Check PGHOST and PGPORT, and that the server runs",
        False,
    ),
    (
        "No such file or directory",
        "there is no server behind that Unix socket. Check PGHOST (unset, it means a local server) and PGPORT",
        False,
    ),
    (
        "timeout expired|timed out|connection timeout|[Nn]o route to host|unreachable",
        "there is no answer from that address. Check PGHOST, PGPORT, routes and security groups",
        True,
    ),
    (
        'invalid port|invalid integer value|invalid sslmode|invalid .*value|invalid connection option|missing "="',
        "a PG* variable is malformed",
        False,
    ),
]


class ConnectionFailure(Exception):  # noqa: N818 - a condition, not a fault
    """No connection to the database; the message says why and what to do.

    Args:
        message: The message.
        is_transient: Whether waiting may help.
    """

    def __init__(self, message: str, *, is_transient: bool) -> None:
        super().__init__(message)
        self.is_transient = is_transient


def explain(error: psycopg.Error) -> ConnectionFailure:
    """Return what ``error``, raised by connecting, means. libpq's messages contain no password."""
    text = str(error)
    said = " ".join(text.split()).replace("host None", "host $PGHOST")  # psycopg does not read the variable
    for pattern, meaning, is_transient in _CAUSES:
        if re.search(pattern, text):
            return ConnectionFailure(f"{meaning} ({said}).", is_transient=is_transient)
    return ConnectionFailure(f"the connection failed ({said}).", is_transient=True)
