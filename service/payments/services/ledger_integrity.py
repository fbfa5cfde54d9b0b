"""Keeping the ledger's books: rolling up, sealing, verifying."""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from payments.domain.ledger import GENESIS, seal_hash
from payments.repositories import ledger_integrity
from payments.repositories.cursors import START, Position
from payments.repositories.database import Connection, Database

_log = logging.getLogger("payments.ledger")
#: Transfers in one step; bounds the time that a step holds its transaction open.
_BATCH = 1000


def roll_up(database: Database) -> bool:
    """Move the roll-ups on by one batch; answers whether there was anything."""
    with database.transaction() as tx:
        done = ledger_integrity.roll_up(tx, limit=_BATCH)
        tx.commit()
    return done > 0


def seal(database: Database) -> bool:
    """Append one link to the chain and tell its head; answers whether there was anything to seal.

    The head goes to the log, which the database owner cannot change: a rewritten chain no longer matches it.
    """
    with database.transaction() as tx:
        if not ledger_integrity.lock_sealer(tx):
            return False  # another worker seals
        last = ledger_integrity.last_seal(tx)
        rows = ledger_integrity.sealed_rows(tx, after=last.upto if last else START, limit=_BATCH)
        if not rows:
            return False
        previous = last.hash if last else GENESIS
        link = ledger_integrity.Seal(
            number=last.number + 1 if last else 1,
            upto=_position(rows[-1]),
            transfers=len(rows),
            previous_hash=previous,
            hash=seal_hash(previous, rows),
        )
        ledger_integrity.insert_seal(tx, link)
        tx.commit()
    _log.info("ledger sealed", extra={"seal": link.number, "head": link.hash.hex(), "transfers": link.transfers})
    return True


def _position(row: tuple[str, ...]) -> Position:
    return Position(xid=row[1], id=row[0])


@dataclass(kw_only=True)
class IntegrityReport:
    """What `payments ledger verify` found."""

    seals: int = 0
    sealed_transfers: int = 0
    #: Not sealed yet: no seal vouches for them. The sealer takes them within seconds.
    unsealed_transfers: int = 0
    #: Head of the chain, to be compared with the log.
    head: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether everything adds up."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def verify(database: Database, *, expected_head: str | None = None) -> IntegrityReport:
    """Recompute every seal, every roll-up, and every payment's captured and refunded amounts, in one snapshot.

    ``expected_head``, in hexadecimal, is one that the sealer told the log: the chain must contain it. This alone finds
    a chain that was rewritten as a whole.
    """
    report = IntegrityReport()
    with database.transaction() as tx:
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tx.execute("SET LOCAL statement_timeout = 0")
        heads = _verify_chain(tx, report)
        if expected_head is not None and expected_head.lower() not in heads:
            report.problems.append({"problem": "head_not_in_chain", "head": expected_head})
        for row in ledger_integrity.wrong_rollups(tx):
            report.problems.append({"problem": "rollup_differs", **row})
        for row in ledger_integrity.wrong_payments(tx):
            report.problems.append({"problem": "payment_differs", **row})
    return report


def _verify_chain(tx: Connection, report: IntegrityReport) -> set[str]:
    """Check the chain; answers every head in it."""
    position, head, heads = START, GENESIS, set[str]()
    while found := ledger_integrity.seals(tx, after=report.seals, limit=_BATCH):
        for link in found:
            rows = ledger_integrity.sealed_rows(tx, after=position, upto=link.upto)
            sound = (
                link.number == report.seals + 1
                and link.previous_hash == head
                and link.transfers == len(rows)
                and link.hash == seal_hash(head, rows)
            )
            if not sound:
                report.problems.append({"problem": "seal_differs", "seal": link.number})
            # Go on from what is stored, so that one change is reported once.
            position, head, report.seals = link.upto, link.hash, link.number
            report.sealed_transfers += len(rows)
            heads.add(head.hex())
    report.head = head.hex() if report.seals else None
    report.unsealed_transfers = ledger_integrity.count_after(tx, position)
    return heads
