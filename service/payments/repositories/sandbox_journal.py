"""The sandbox processor's journal. Only `processors.sandbox` uses it, on a connection of its own."""

from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime

from payments.domain.outcomes import DeclineCode, Outcome
from payments.repositories.database import Connection


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """One thing the sandbox was asked, and what it decided."""

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

    def refused(self, outcome: Outcome, code: DeclineCode) -> "JournalEntry":
        """The entry as a refusal."""
        return replace(self, outcome=outcome.value, decline_code=code.value, settles_as=None, settles_at=None)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What the journal says about a charge, in minor units."""

    attempt_id: str
    capturable: int
    refundable: int
    #: Nothing can be captured any more.
    released: bool


_COLUMNS = ", ".join(field.name for field in fields(JournalEntry))
#: A pending outcome is what it settles as once its time has come.
_READ = """
    SELECT attempt_id, kind, reference, charge_reference, token, amount, currency,
        CASE WHEN outcome = 'pending' AND settles_at <= clock_timestamp() THEN settles_as ELSE outcome END AS outcome,
        CASE WHEN outcome = 'pending' AND (settles_at > clock_timestamp() OR settles_as = 'approved') THEN NULL
            ELSE decline_code END AS decline_code,
        settles_as, settles_at, action_token, return_url
    FROM sandbox_journal
"""


def now(tx: Connection) -> datetime:
    """The database's clock."""
    row = tx.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None  # noqa: S101  # such a SELECT answers a row
    moment: datetime = row["now"]
    return moment


def get(tx: Connection, attempt_id: str) -> JournalEntry | None:
    """What was decided about an attempt, if it ever arrived."""
    row = tx.execute(_READ + "WHERE attempt_id = %s", [attempt_id]).fetchone()
    return None if row is None else JournalEntry(**row)


def insert_once(tx: Connection, entry: JournalEntry) -> JournalEntry:
    """Write ``entry`` unless its attempt arrived before; answers what stands."""
    placeholders = ", ".join(["%s"] * len(fields(JournalEntry)))
    tx.execute(
        f"INSERT INTO sandbox_journal ({_COLUMNS}) VALUES ({placeholders}) ON CONFLICT (attempt_id) DO NOTHING",  # noqa: S608
        astuple(entry),
    )
    stored = get(tx, entry.attempt_id)
    assert stored is not None  # noqa: S101  # one of the two inserts won
    return stored


def lock_charge(tx: Connection, reference: str) -> Charge | None:
    """An approved charge with what was done to it, locked so that sums stay right."""
    row = tx.execute(
        "SELECT amount, token, attempt_id FROM sandbox_journal WHERE reference = %s AND kind = 'payment' FOR UPDATE",
        [reference],
    ).fetchone()
    if row is None:
        return None
    sums = tx.execute(
        """
        SELECT coalesce(sum(amount) FILTER (WHERE kind = 'capture'), 0)::bigint AS captured,
            coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0)::bigint AS refunded,
            bool_or(kind = 'void') AS voided, count(*) FILTER (WHERE kind = 'capture') AS captures
        FROM sandbox_journal WHERE charge_reference = %s AND outcome IN ('approved', 'pending')
        """,
        [reference],
    ).fetchone()
    assert sums is not None  # noqa: S101  # an aggregate answers a row
    return Charge(
        attempt_id=row["attempt_id"],
        capturable=row["amount"] - sums["captured"],
        # A charge that was captured at once has no capture of its own.
        refundable=(sums["captured"] or row["amount"]) - sums["refunded"],
        released=bool(sums["voided"]),
    )


def close(tx: Connection, attempt_id: str, *, outcome: Outcome) -> JournalEntry | None:
    """End a charge that waits for its customer; answers what stands, be it another outcome."""
    tx.execute(
        "UPDATE sandbox_journal SET outcome = %s WHERE attempt_id = %s AND outcome = 'requires_action'",
        [outcome.value, attempt_id],
    )
    return get(tx, attempt_id)


def find_challenge(tx: Connection, token: str) -> JournalEntry | None:
    """The charge that waits for the customer with this ``token``."""
    row = tx.execute(_READ + "WHERE action_token = %s AND outcome = 'requires_action'", [token]).fetchone()
    return None if row is None else JournalEntry(**row)


def decide(tx: Connection, token: str, *, outcome: Outcome, decline_code: DeclineCode | None) -> bool:
    """Store the customer's decision; ``False`` if there was one."""
    changed = tx.execute(
        "UPDATE sandbox_journal SET outcome = %s, decline_code = %s"
        " WHERE action_token = %s AND outcome = 'requires_action'",
        [outcome.value, decline_code and decline_code.value, token],
    )
    return changed.rowcount == 1
