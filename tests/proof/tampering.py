"""What attacks on rows by their owner have in common: a superuser's connection, other values, putting back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.service.fixtures import Postgres


@contextmanager
def owning(postgres: Postgres, tables: Sequence[str]) -> Iterator[psycopg.Connection]:
    """Yield a superuser's connection on which no trigger fires, and put `tables` back afterwards."""
    with psycopg.connect(postgres.superuser, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        for table in tables:
            owner.execute(sql.SQL("CREATE TEMPORARY TABLE kept_{0} AS SELECT * FROM {0}").format(sql.SQL(table)))
        try:
            yield owner
        finally:
            for table in tables:
                put_back(owner, table)
                owner.execute(sql.SQL("DROP TABLE kept_{}").format(sql.SQL(table)))


def put_back(owner: psycopg.Connection, table: str) -> None:
    """Make a table what it was."""
    owner.execute(
        sql.SQL("DELETE FROM {0}; INSERT INTO {0} SELECT * FROM {1}").format(
            sql.Identifier(table), sql.Identifier(f"kept_{table}")
        )
    )


def columns(owner: psycopg.Connection, table: str) -> list[tuple[str, str]]:
    """Return every column and its type, from the catalogue: a new column is attacked as well."""
    found = owner.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_name = %s AND table_schema = 'public' ORDER BY ordinal_position",
        [table],
    ).fetchall()
    return [(name, kind) for name, kind in found]


#: Another value of a column, by its type: `{0}` is the old one, `{1}` a number from 1 that is drawn.
_CHANGED = {
    "text": "coalesce({0}, '') || repeat('x', {1})",
    "bigint": "{0} + {1}",
    "integer": "{0} + {1}",
    "numeric": "{0} + {1}",
    "boolean": "NOT {0}",
    "xid8": "({0}::text::bigint + {1})::text::xid8",
    "timestamp with time zone": "{0} + interval '1 microsecond' * {1}",
    "bytea": "set_byte({0}, {1} % 32, 255 - get_byte({0}, {1} % 32))",
}
#: Columns whose values are checked: others that the table takes.
_CHECKED = {
    "currency": "CASE {0} WHEN 'USD' THEN 'GBP' ELSE 'USD' END",
    "fee_currency": "CASE {0} WHEN 'GBP' THEN 'CHF' ELSE 'GBP' END",
    "debit_account": "CASE {0} WHEN 'cash' THEN 'suspense' ELSE 'cash' END",
    "credit_account": "CASE {0} WHEN 'disputes' THEN 'suspense' ELSE 'disputes' END",
    "account": "CASE {0} WHEN 'cash' THEN 'suspense' ELSE 'cash' END",
    "status": "CASE {0} WHEN 'won' THEN 'under_review' ELSE 'won' END",
}


def changed(column: str, kind: str, number: int) -> sql.SQL:
    """Return an expression for another value of `column`."""
    return sql.SQL((_CHECKED.get(column) or _CHANGED[kind]).format(column, number))
