"""Ledger integrity: rolling up balances, sealing transfers, verifying everything."""

import logging
from dataclasses import asdict, dataclass, field

from payments.domain.ledger import ACCOUNTS, GENESIS, IN_ANY_CURRENCY, seal_hash
from payments.repositories import ledger_integrity
from payments.repositories.connection import Connection
from payments.repositories.cursors import START, Position
from payments.repositories.ledger_integrity import Seal
from payments.services.context import Context
from payments.services.presentation import Json

_log = logging.getLogger("payments.ledger")
#: Transfers per step; bounds how long a step keeps its transaction open.
_BATCH = 1000


def roll_up(context: Context) -> bool:
    """Advance the roll-ups by one batch; returns whether there was anything to do."""
    with context.database.transaction() as tx:
        transfers = ledger_integrity.roll_up(tx, limit=_BATCH)
        tx.commit()
    return transfers > 0


def seal(context: Context) -> bool:
    """Append one seal to the chain and log its hash, the new head; returns whether there was anything to seal.

    The database owner cannot change the log: a chain that was rewritten no longer matches it.
    """
    with context.database.transaction() as tx:
        if not ledger_integrity.lock_sealer(tx):
            return False  # another worker is sealing
        last = ledger_integrity.last_seal(tx)
        rows = ledger_integrity.sealed_rows(tx, after=last.upto if last else START, limit=_BATCH)
        if not rows:
            return False
        previous = last.hash if last else GENESIS
        new = Seal(
            number=last.number + 1 if last else 1,
            upto=_position(rows[-1]),
            transfers=len(rows),
            previous_hash=previous,
            hash=seal_hash(previous, rows),
        )
        ledger_integrity.insert_seal(tx, new)
        tx.commit()
    _log.info("ledger sealed", extra={"seal": new.number, "head": new.hash.hex(), "transfers": new.transfers})
    return True


def _position(row: tuple[str, ...]) -> Position:
    return Position(xid=row[1], id=row[0])


@dataclass(kw_only=True)
class IntegrityReport:
    """The findings of `payments ledger verify`."""

    seals: int = 0
    sealed_transfers: int = 0
    #: Not covered by a seal yet. The sealer gets to them within seconds.
    unsealed_transfers: int = 0
    #: Head of the chain, to be compared with the log.
    head: str | None = None
    problems: list[Json] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def as_dict(self) -> Json:
        """Return the report as plain values."""
        return asdict(self)


def verify(context: Context, *, expected_head: str | None = None) -> IntegrityReport:
    """Recompute every seal and roll-up, and what payments and disputes have moved, in one snapshot.

    ``expected_head``, in hexadecimal, is a head from the log, which the chain must contain. Nothing else detects a
    chain that was rewritten as a whole.
    """
    report = IntegrityReport()
    with context.database.transaction() as tx:
        ledger_integrity.use_long_snapshot(tx)
        heads = _verify_chain(tx, report)
        if expected_head is not None and expected_head.lower() not in heads:
            report.problems.append({"problem": "head_not_in_chain", "head": expected_head})
        for table in ledger_integrity.transaction_ids_ahead(tx):
            report.problems.append({"problem": "transaction_ids_ahead", "table": table})
        for row in ledger_integrity.wrong_rollups(tx):
            report.problems.append({"problem": "rollup_differs", **row})
        for row in ledger_integrity.wrong_payments(tx):
            report.problems.append({"problem": "payment_differs", **row})
        for row in ledger_integrity.wrong_disputes(tx):
            report.problems.append({"problem": "dispute_differs", **row})
        for row in ledger_integrity.unexplained_transfers(tx, accounts=ACCOUNTS, in_any_currency=IN_ANY_CURRENCY):
            report.problems.append({"problem": "transfer_unexplained", **row})
    return report


def _verify_chain(tx: Connection, report: IntegrityReport) -> set[str]:
    """Verify the chain; returns every head in it."""
    position, head, heads = START, GENESIS, set[str]()
    while found := ledger_integrity.seals(tx, after=report.seals, limit=_BATCH):
        for stored in found:
            rows = ledger_integrity.sealed_rows(tx, after=position, upto=stored.upto)
            sound = (
                stored.number == report.seals + 1
                # A seal that reaches beyond its last transfer would hide later ones from the sealer.
                and bool(rows)
                and stored.upto == _position(rows[-1])
                and stored.previous_hash == head
                and stored.transfers == len(rows)
                and stored.hash == seal_hash(head, rows)
            )
            if not sound:
                report.problems.append({"problem": "seal_differs", "seal": stored.number})
            # Continue from what is stored, so that one manipulation is reported once.
            position, head, report.seals = stored.upto, stored.hash, stored.number
            report.sealed_transfers += len(rows)
            heads.add(head.hex())
    report.head = head.hex() if report.seals else None
    report.unsealed_transfers = ledger_integrity.count_after(tx, position)
    return heads
