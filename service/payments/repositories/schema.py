"""The version of the database schema, and whether this release can work with it.

A release knows the versions from the file names of its migrations, so that only `migrate` has to load Alembic.
"""

from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from payments.core.operator_errors import OperatorError

#: A connection with any row factory.
AnyConnection = psycopg.Connection[Any]
#: Advisory lock of the session that migrates.
MIGRATION_LOCK = 7_236_401
MIGRATIONS = Path(__file__).parents[2] / "migrations"


class SchemaOutdated(OperatorError):  # noqa: N818 - a condition, not a fault
    """The schema is older than this release, which must not use it; the message names both versions."""


def known_versions() -> tuple[str, ...]:
    """Return the versions that this release knows, oldest first; the last one is its own."""
    return tuple(sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def current_versions(connection: AnyConnection) -> set[str]:
    """Return the versions recorded in the database; empty for an empty database."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        if cursor.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return set()
        return {row[0] for row in cursor.execute("SELECT version_num FROM alembic_version")}


def is_newer(current: set[str]) -> bool:
    """Return whether a later release migrated the schema, which remains compatible with this one."""
    return bool(current - set(known_versions()))


def require_current(connection: AnyConnection) -> None:
    """Reject a schema that is older than this release. Leaves the connection outside a transaction.

    Raises:
        SchemaOutdated: It is, or it dates from before the application could read its version.
        psycopg.Error: The database did not respond, which says nothing about the schema.
    """
    own = known_versions()[-1]
    try:
        current = current_versions(connection)
    except psycopg.errors.InsufficientPrivilege:
        current = {"unreadable by the application"}
    else:
        if own in current or is_newer(current):
            return
    finally:
        if not connection.closed:
            connection.rollback()
    found = ", ".join(sorted(current)) or "none"
    raise SchemaOutdated(
        f"The schema version is {found}; this release needs {own}. `payments migrate`, which runs before this process, "
        "must have failed: see its log."
    )


def limit_lock_waits(connection: AnyConnection, milliseconds: int) -> None:
    """Let every later statement of the session wait at most this long for a lock."""
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [str(milliseconds)])


def lock_migrations(connection: AnyConnection) -> None:
    """Become the only session that migrates, until :func:`unlock_migrations`."""
    connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])


def unlock_migrations(connection: AnyConnection) -> None:
    """Let another session migrate."""
    connection.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
