"""The sandbox processor's journal, used by `processors.sandbox` only, on connections of its own."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime

from psycopg.rows import DictRow

from payments.domain.outcomes import DeclineCode, Outcome
from payments.repositories.connection import Connection


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """A call to the sandbox, and its decision. ``amount`` is in minor units of ``currency``."""

    attempt_id: str
    kind: str
    reference: str
    charge_reference: str | None
    token: str
    amount: int
    currency: str
    outcome: str
    decline_code: str | None
    settles_as: str | None
    settles_at: datetime | None
    action_token: str | None
    return_url: str | None
    #: Whether the charge is captured at once; ``None`` in entries older than this field, and of operations.
    automatic_capture: bool | None = None

    def refused(self, outcome: Outcome, code: DeclineCode) -> "JournalEntry":
        """Return the entry as a refusal."""
        return replace(self, outcome=outcome.value, decline_code=code.value, settles_as=None, settles_at=None)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What is left of a charge, in minor units."""

    attempt_id: str
    capturable: int
    refundable: int
    #: Whether the authorization was voided.
    released: bool
    #: Whether it was captured at once.
    captured_at_once: bool


_COLUMNS = ", ".join(field.name for field in fields(JournalEntry))
_INSERT_ONCE = (
    f"INSERT INTO sandbox_journal ({_COLUMNS})"  # noqa: S608 - column names only
    f" VALUES ({', '.join(f'%({field.name})s' for field in fields(JournalEntry))}) ON CONFLICT (attempt_id) DO NOTHING"
)
#: The columns of an entry as it is now: a pending outcome turns into ``settles_as`` at ``settles_at``.
_NOW = """
    attempt_id, kind, reference, charge_reference, token, amount, currency,
        CASE WHEN outcome = 'pending' AND settles_at <= clock_timestamp() THEN settles_as ELSE outcome END AS outcome,
        CASE WHEN outcome = 'pending' AND (settles_at > clock_timestamp() OR settles_as = 'approved') THEN NULL
            ELSE decline_code END AS decline_code,
        settles_as, settles_at, action_token, return_url, automatic_capture
"""
_SELECT = f"SELECT {_NOW} FROM sandbox_journal "  # noqa: S608 - column names only


def now(tx: Connection) -> datetime:
    """Return the time by the database's clock."""
    row = tx.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None  # noqa: S101 - this SELECT returns a row
    moment: datetime = row["now"]
    return moment


def get(tx: Connection, attempt_id: str) -> JournalEntry | None:
    """Return the entry of an attempt, if it ever arrived."""
    return find(tx, attempt_id)()


def find(tx: Connection, attempt_id: str) -> Callable[[], JournalEntry | None]:
    """Queue :func:`get`; the entry is read by calling what is returned."""
    reply = tx.queue(_SELECT + "WHERE attempt_id = %(attempt_id)s", {"attempt_id": attempt_id})
    return lambda: reply.one(_entry)


def _entry(row: DictRow) -> JournalEntry:
    return JournalEntry(**row)


def insert_once(tx: Connection, entry: JournalEntry) -> Callable[[], JournalEntry | None]:
    """Store ``entry`` unless its attempt arrived before; returns what reads the entry that is stored."""
    inserted = tx.queue(f"{_INSERT_ONCE} RETURNING {_NOW}", vars(entry))
    return lambda: inserted.one(_entry) or get(tx, entry.attempt_id)


def lock_charge(tx: Connection, reference: str) -> Charge | None:
    """Return what is left of a charge, locked until the transaction ends."""
    locked = tx.queue(
        "SELECT amount, attempt_id, automatic_capture FROM sandbox_journal"
        " WHERE reference = %(reference)s AND kind = 'payment' FOR UPDATE",
        {"reference": reference},
    )
    summed = tx.queue(
        """
        SELECT coalesce(sum(amount) FILTER (WHERE kind = 'capture'), 0)::bigint AS captured,
            coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0)::bigint AS refunded,
            bool_or(kind = 'void') AS voided
        FROM sandbox_journal WHERE charge_reference = %(reference)s AND outcome IN ('approved', 'pending')
        """,
        {"reference": reference},
    )
    row, sums = locked.one(dict), summed.one(dict)
    if row is None or sums is None:
        return None
    # A charge that is captured at once has no capture entry; one of which that is not known, either.
    at_once = row["automatic_capture"] if row["automatic_capture"] is not None else not sums["captured"]
    return Charge(
        attempt_id=row["attempt_id"],
        capturable=0 if row["automatic_capture"] else row["amount"] - sums["captured"],
        refundable=(row["amount"] if at_once else sums["captured"]) - sums["refunded"],
        released=bool(sums["voided"]),
        captured_at_once=bool(row["automatic_capture"]),
    )


def close(tx: Connection, attempt_id: str, *, outcome: Outcome) -> Callable[[], JournalEntry | None]:
    """End a charge that waits for its customer; returns what reads the stored entry, whatever its outcome."""
    tx.queue(
        "UPDATE sandbox_journal SET outcome = %(outcome)s"
        " WHERE attempt_id = %(attempt_id)s AND outcome = 'requires_action'",
        {"attempt_id": attempt_id, "outcome": outcome.value},
    )
    return find(tx, attempt_id)


def find_challenge(tx: Connection, token: str) -> JournalEntry | None:
    """Return the charge whose customer has, or had, to act on the page with this ``token``."""
    row = tx.execute(_SELECT + "WHERE action_token = %s", [token]).fetchone()
    return None if row is None else JournalEntry(**row)


def decide(tx: Connection, token: str, *, outcome: Outcome, decline_code: DeclineCode | None) -> bool:
    """Store the customer's decision; ``False`` if there is one already."""
    changed = tx.execute(
        "UPDATE sandbox_journal SET outcome = %s, decline_code = %s"
        " WHERE action_token = %s AND outcome = 'requires_action'",
        [outcome.value, decline_code and decline_code.value, token],
    )
    return changed.rowcount == 1
