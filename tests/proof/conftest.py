"""The database of the service's tests, for the attacks as well."""

from tests.service.conftest import (
    _eraser,
    _journal_pool,
    _pool,
    database,
    journal,
    key,
    migrated,
    postgres,
    postgres_server,
)

__all__ = ["_eraser", "_journal_pool", "_pool", "database", "journal", "key", "migrated", "postgres", "postgres_server"]
