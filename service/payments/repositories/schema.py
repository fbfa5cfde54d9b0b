"""Which version the database's schema has, and whether this release can work with it.

The versions that a release knows are the names of its migrations; reading them so spares the processes that serve
Alembic, which only `migrate` needs.
"""

from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

MIGRATIONS = Path(__file__).parents[2] / "migrations"


class SchemaOutdated(Exception):  # noqa: N818  # a condition, told to whoever starts the process
    """The schema is older than this release, which must not use it; the message says which versions they are."""


def known_versions() -> tuple[str, ...]:
    """The versions that this release knows, oldest first; the last one is its own."""
    return tuple(sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def current_versions(connection: psycopg.Connection[Any]) -> set[str]:
    """The versions that the database says it has; empty for an empty database."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        if cursor.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return set()
        return {row[0] for row in cursor.execute("SELECT version_num FROM alembic_version")}


def is_newer(current: set[str]) -> bool:
    """Whether a later release made the schema: it is compatible with this one, which goes on."""
    return bool(current - set(known_versions()))


def require_current(connection: psycopg.Connection[Any]) -> None:
    """Refuse a schema that is older than this release. Leaves the connection outside a transaction.

    Raises:
        SchemaOutdated: it is, or was made before the application could read its version.
        psycopg.Error: the database did not answer, which says nothing about the schema.
    """
    own = known_versions()[-1]
    try:
        current = current_versions(connection)
    except psycopg.errors.InsufficientPrivilege:
        current = {"one that the application may not read"}
    else:
        if own in current or is_newer(current):
            return
    finally:
        if not connection.closed:
            connection.rollback()
    found = ", ".join(sorted(current)) or "none"
    raise SchemaOutdated(
        f"The schema's version is {found}, this release needs {own}. `payments migrate`, which runs before this "
        "process, has failed: its log says why."
    )
