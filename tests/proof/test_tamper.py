"""Whoever can do everything in the database cannot change what was posted unless `payments ledger verify` finds it.

The attacker is a superuser with triggers disabled. What only an outside witness can tell (a chain that is consistent in
itself, but not the one that was made) is verified with the head that was logged, as docs/operations.md says.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st
from psycopg import sql

from payments.domain.ledger import GENESIS, seal_hash
from payments.repositories import ledger_integrity as repository
from payments.repositories.cursors import START
from payments.repositories.database import Database
from payments.services import ledger_integrity
from tests.proof import tampering
from tests.proof.profile import profile
from tests.proof.tampering import changed, columns, put_back
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres

_TABLES = ("ledger_transfers", "ledger_seals", "ledger_rollups")
_KEYS = {"ledger_transfers": ("id",), "ledger_seals": ("number",),
         "ledger_rollups": ("merchant_id", "livemode", "currency", "account")}  # fmt: skip
#: Seals per chain: small, so that attacks meet the beginning, the middle and the end of seals and of the chain.
_BATCH = 3


@dataclass(frozen=True, kw_only=True)
class Books:
    """A ledger with several seals, an unsealed tail, roll-ups, and the heads that were logged meanwhile."""

    client: Client
    postgres: Postgres
    heads: list[str]

    def problems(self, head: str | None = None) -> list[str]:
        found = ledger_integrity.verify(self.client.context, expected_head=head or self.heads[-1]).problems
        return [str(problem["problem"]) for problem in found]


@pytest.fixture
def books(
    database: Database, journal: Database, key: ApiKey, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Books:
    monkeypatch.setattr(ledger_integrity, "_BATCH", _BATCH)
    client = Client(sandbox_context(database, journal), key)
    heads: list[str] = []
    for number in range(4):
        amount = 1000 + number
        payment = client.json(client.create(amount=amount, currency="EUR" if number % 3 else "JPY"))
        if number % 2:
            client.json(client.post(f"/v1/payments/{payment['id']}/refunds", {"amount": 10}))
        while ledger_integrity.seal(client.context):
            head = ledger_integrity.verify(client.context).head
            assert head is not None
            heads.append(head)
        ledger_integrity.roll_up(client.context)
    while ledger_integrity.roll_up(client.context):
        pass
    client.json(client.create())  # sealed and rolled up by nobody yet
    made = Books(client=client, postgres=postgres, heads=heads)
    assert made.problems() == []
    return made


@contextmanager
def owning(books: Books) -> Iterator[psycopg.Connection]:
    """Yield its owner's connection."""
    with tampering.owning(books.postgres, (*_TABLES, "cursors", "payments", "attempts")) as owner:
        yield owner


#: What no chain covers, and why that is no lie about money. When a seal was made is said by the log, which the owner
#: cannot change.
_NOT_SEALED = {"ledger_seals": {"created_at"}, "ledger_transfers": set[str](), "ledger_rollups": set[str]()}
#: What may be changed of transfers that are not sealed yet. `verify` counts them; within seconds there are none.
_NOT_SEALED_YET = {"id", "created_at"}


@pytest.mark.parametrize("table", _TABLES)
def test_each_column_of_each_row_is_covered(books: Books, table: str) -> None:
    """All of them, not a sample: one changed field is the smallest lie."""
    with owning(books) as owner:
        unsealed = {row[0] for row in owner.execute(_UNSEALED)}
        keys = [sql.SQL(name) for name in _KEYS[table]]
        rows = owner.execute(sql.SQL("SELECT {} FROM {} ORDER BY 1").format(sql.SQL(",").join(keys), sql.SQL(table)))
        missed = set()
        for row in rows.fetchall():
            where = sql.SQL(" AND ").join(sql.SQL("{} = {}").format(k, v) for k, v in zip(keys, row, strict=True))
            for column, kind in columns(owner, table):
                change = sql.SQL("UPDATE {} SET {} = {} WHERE {}")
                owner.execute(change.format(sql.SQL(table), sql.SQL(column), changed(column, kind, 1000), where))
                if not books.problems():
                    missed.add((column, row[0] in unsealed))
                put_back(owner, table)
        expected = {(column, False) for column in _NOT_SEALED[table]}
        if table == "ledger_transfers":
            expected |= {(column, True) for column in _NOT_SEALED_YET}
        assert missed == expected


#: Transfers after the last seal.
_UNSEALED = """
    SELECT id FROM ledger_transfers WHERE NOT EXISTS (
        SELECT FROM ledger_seals WHERE (upto_xid, upto_id) >= (ledger_transfers.xid, ledger_transfers.id))
"""


class Attack:
    """A change of the ledger by its owner: each method is one kind. Drawn numbers choose row, column and value."""

    def __init__(self, owner: psycopg.Connection) -> None:
        self._owner = owner

    def alter(self, table: str, row: int, column: int, number: int) -> None:
        """Another value in one field."""
        fields = [c for c in columns(self._owner, table) if c[0] not in _NOT_SEALED[table]]
        name, kind = fields[column % len(fields)]
        change = sql.SQL("UPDATE {} SET {} = {} WHERE ctid = {}::tid")
        row_id = sql.Literal(self._row(table, row))
        self._owner.execute(change.format(sql.SQL(table), sql.SQL(name), changed(name, kind, number), row_id))

    def remove(self, table: str, row: int, column: int, number: int) -> None:
        """A few rows less, in the middle or at the end."""
        for _ in range(1 + number % 3):
            self._owner.execute(
                sql.SQL("DELETE FROM {} WHERE ctid = {}::tid").format(
                    sql.SQL(table), sql.Literal(self._row(table, row))
                )
            )

    def insert(self, table: str, row: int, column: int, number: int) -> None:
        """A copy of a row: before, between or after the others."""
        other = {
            "ledger_transfers": "id = 'tr_' || repeat('0', {0}), kind = kind || {0}",
            "ledger_seals": "number = number + 100 * {0}",
            "ledger_rollups": "merchant_id = merchant_id || {0}",
        }[table].format(number)
        source = sql.Literal(self._row(table, row))
        table_ = sql.SQL(table)
        self._owner.execute(
            sql.SQL("CREATE TEMPORARY TABLE copied AS SELECT * FROM {} WHERE ctid = {}::tid").format(table_, source)
        )
        self._owner.execute(sql.SQL("UPDATE copied SET {}").format(sql.SQL(other)))
        self._owner.execute(sql.SQL("INSERT INTO {} SELECT * FROM copied").format(table_))
        self._owner.execute("DROP TABLE copied")

    def reorder(self, table: str, row: int, column: int, number: int) -> None:
        """Two rows that change places, keys and positions aside."""
        places = {"ledger_transfers": "id", "ledger_seals": "number", "ledger_rollups": "account"}
        place = sql.SQL(places[table])
        first, second = self._row(table, row), self._row(table, row + number)
        swap = sql.SQL(
            "CREATE TEMPORARY TABLE two AS SELECT ctid AS place, * FROM {0} WHERE ctid IN ({1}::tid, {2}::tid);"
            "DELETE FROM {0} WHERE ctid IN ({1}::tid, {2}::tid);"
            "UPDATE two SET {3} = other.{3} FROM (SELECT place AS at, {3} FROM two) AS other WHERE other.at <> place;"
            "ALTER TABLE two DROP COLUMN place; INSERT INTO {0} SELECT * FROM two; DROP TABLE two"
        )
        self._owner.execute(swap.format(sql.SQL(table), sql.Literal(first), sql.Literal(second), place))

    def truncate(self, table: str, row: int, column: int, number: int) -> None:
        """The end of the chain is cut off, and with it every transfer that it sealed."""
        self._owner.execute(
            "DELETE FROM ledger_seals WHERE number > (SELECT max(number) FROM ledger_seals) - %s", [1 + number % 3]
        )
        if row % 2:
            self._owner.execute(_UNSEALED.replace("SELECT id", "DELETE", 1))

    def _row(self, table: str, number: int) -> str:
        order = sql.SQL(", ").join(sql.SQL(name) for name in _KEYS[table])
        rows = self._owner.execute(
            sql.SQL("SELECT ctid::text FROM {} {} ORDER BY {}").format(
                sql.SQL(table), sql.SQL(_SEALED_ONLY if table == "ledger_transfers" else ""), order
            )
        ).fetchall()
        return str(rows[number % len(rows)][0]) if rows else "(0,0)"  # which is no row's


_SEALED_ONLY = f"WHERE id NOT IN ({_UNSEALED})"
_NUMBERS = st.integers(min_value=0, max_value=30)
_ATTACKS = st.lists(
    st.tuples(
        st.sampled_from(["alter", "remove", "insert", "reorder", "truncate"]),
        st.sampled_from(_TABLES),
        _NUMBERS,
        _NUMBERS,
        st.integers(min_value=1, max_value=30),
    ),
    min_size=1,
    max_size=3,
)


def contents(owner: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return what the attacks are about: sealed transfers, seals without the time, roll-ups."""
    found: list[tuple[object, ...]] = []
    for query in (
        f"SELECT * FROM ledger_transfers {_SEALED_ONLY} ORDER BY id",
        "SELECT number, upto_xid, upto_id, transfers, previous_hash, hash FROM ledger_seals ORDER BY number",
        "SELECT * FROM ledger_rollups ORDER BY merchant_id, livemode, currency, account",
    ):
        found += owner.execute(query).fetchall()
    return found


def test_any_change_is_found(books: Books) -> None:
    with owning(books) as owner:
        before = contents(owner)

        @seed(profile().seed)
        @settings(max_examples=profile().examples(150), database=None)
        @given(_ATTACKS)
        def attack(steps: list[tuple[str, str, int, int, int]]) -> None:
            try:
                for name, table, row, column, number in steps:
                    # Even the owner cannot have two such rows.
                    with contextlib.suppress(psycopg.errors.IntegrityError), owner.transaction():
                        getattr(Attack(owner), name)(table, row, column, number)
                assume(contents(owner) != before)
                assert books.problems(), steps
            finally:
                for table in _TABLES:
                    put_back(owner, table)

        attack()


def test_a_consistent_rewrite_differs_from_the_log(books: Books) -> None:
    """Who recomputes the whole chain is found by any head that was logged at or after the row that was changed."""
    with owning(books) as owner, books.client.context.database.transaction() as tx:
        rows = repository.sealed_rows(tx, after=START)
        seals = repository.seals(tx, after=0, limit=100)
        for forged in range(len(seals)):
            owner.execute(
                "UPDATE ledger_transfers SET created_at = created_at - interval '1 day'"
                " WHERE (xid, id) = (%s::xid8, %s)",
                [seals[forged].upto.xid, seals[forged].upto.id],
            )
            rewrite(books, owner)
            assert books.problems(books.heads[forged]) == ["head_not_in_chain"]
            assert books.problems(books.heads[-1]) == ["head_not_in_chain"]
            assert ledger_integrity.verify(books.client.context).is_sound, "the log is the only witness"
            for table in _TABLES:
                put_back(owner, table)
        assert len(rows) > len(seals)


def rewrite(books: Books, owner: psycopg.Connection) -> None:
    """Recompute every seal from the transfers as they are now."""
    with books.client.context.database.transaction() as tx:
        position, head = START, GENESIS
        for seal_ in repository.seals(tx, after=0, limit=100):
            previous, head = head, seal_hash(head, repository.sealed_rows(tx, after=position, upto=seal_.upto))
            position = seal_.upto
            owner.execute(
                "UPDATE ledger_seals SET previous_hash = %s, hash = %s WHERE number = %s",
                [previous, head, seal_.number],
            )


FORGED = {
    "a fee": [("fee", "merchant_payable", "platform_fees")],
    "a payout": [("payout", "merchant_payable", "cash")],
    "two that cancel out": [("refund", "cash", "merchant_payable"), ("refund_reversal", "suspense", "cash")],
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_transfer_is_found(books: Books, forged: list[tuple[str, str, str]]) -> None:
    """Appended like any other it enters the chain; but no payment accounts for it."""
    with owning(books) as owner:
        for number, row in enumerate(forged):
            inserted = owner.execute(
                "INSERT INTO ledger_transfers (id, merchant_id, livemode, currency, amount, payment_id, attempt_id,"
                " kind, debit_account, credit_account) SELECT %s, a.merchant_id, a.livemode, p.currency, 7, p.id, a.id,"
                " %s, %s, %s FROM attempts a JOIN payments p ON p.id = a.payment_id WHERE NOT EXISTS"
                " (SELECT FROM ledger_transfers t WHERE t.attempt_id = a.id AND t.kind = %s) ORDER BY a.id LIMIT 1",
                [f"tr_zz{number}", *row, row[0]],
            )
            assert inserted.rowcount == 1
        while ledger_integrity.seal(books.client.context):
            pass
        while ledger_integrity.roll_up(books.client.context):
            pass
        head = ledger_integrity.verify(books.client.context).head
        assert books.problems(head), "the chain is sound, and so are the roll-ups"
