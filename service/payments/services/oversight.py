"""What people on call do: list what is stuck, settle it with evidence, reconcile with a processor's report."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from payments.domain.money import MAX_AMOUNT, is_currency
from payments.domain.outcomes import Outcome, Result
from payments.repositories import attempts, audit, oversight
from payments.repositories.oversight import SettlementLine
from payments.services.context import Context
from payments.services.execution import record

_COLUMNS = ("kind", "reference", "currency", "amount", "fee", "settled_on")
_AMOUNT = re.compile(r"[0-9]{1,13}")
#: What a person may establish about an attempt.
RESOLUTIONS = (Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE)


class OversightError(Exception):
    """A request that cannot be carried out; the message says why."""


def list_stuck(context: Context) -> list[dict[str, Any]]:
    """Attempts that only a person can settle."""
    with context.database.transaction() as tx:
        return list(oversight.stuck(tx))


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a person found out about an attempt, and where it can be seen."""

    attempt_id: str
    outcome: Outcome
    evidence: str
    actor: str
    reference: str | None = None


def resolve(context: Context, resolution: Resolution) -> None:
    """Settle an attempt by a person's evidence; both are kept in the audit log.

    Raises:
        OversightError: no evidence, no such open attempt, or it was settled meanwhile.
    """
    if not resolution.evidence.strip():
        raise OversightError("Say where the truth can be seen: --evidence 'dashboard of the processor, ...'.")
    with context.database.transaction() as tx:
        attempt = attempts.take(tx, resolution.attempt_id)
        if attempt is None:
            raise OversightError("There is no open attempt of that id. See `payments stuck`.")
        audit.record(
            tx,
            attempt,
            actor=resolution.actor,
            action="attempt.resolve",
            subject=attempt.id,
            now=context.now(),
            details={"outcome": resolution.outcome.value, "evidence": resolution.evidence},
        )
        tx.commit()
    result = Result(outcome=resolution.outcome, reference=resolution.reference, detail="resolved by a person")
    if record(context, attempt, result, evidence=resolution.evidence) is None:
        raise OversightError("The attempt was settled by the worker meanwhile. Read the payment.")


def reconcile(
    context: Context, rows: Iterable[str], *, processor: str, livemode: bool, report: str
) -> list[dict[str, Any]]:
    """Store a processor's report (CSV: kind,reference,currency,amount,fee,settled_on) and list where we differ.

    Raises:
        OversightError: a line that cannot be read; nothing is stored.
    """
    lines = list(_read(rows))
    with context.database.transaction() as tx:
        tx.execute("SET LOCAL statement_timeout = 0")
        oversight.import_lines(tx, processor=processor, livemode=livemode, report=report, lines=lines)
        found = list(oversight.differences(tx, processor=processor, livemode=livemode, report=report))
        tx.commit()
    return found


def _read(rows: Iterable[str]) -> Iterator[SettlementLine]:
    reader = csv.DictReader(rows)
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise OversightError(f"The report must have the columns {','.join(_COLUMNS)}, in this order.")
    for row in reader:
        yield _line(reader.line_num, row)


def _line(number: int, row: dict[str, str]) -> SettlementLine:
    try:
        settled_on = date.fromisoformat(row["settled_on"])
    except (TypeError, ValueError) as error:
        raise OversightError(f"Line {number}: settled_on must be a date such as 2026-11-24.") from error
    if row["kind"] not in ("charge", "refund") or not row["reference"] or not is_currency(row["currency"]):
        raise OversightError(f"Line {number}: kind must be charge or refund, reference given, currency ISO 4217.")
    if not _AMOUNT.fullmatch(row["amount"] or "") or not _AMOUNT.fullmatch(row["fee"] or ""):
        raise OversightError(f"Line {number}: amount and fee must be whole minor units up to {MAX_AMOUNT}.")
    return SettlementLine(
        line=number,
        kind=row["kind"],
        reference=row["reference"],
        currency=row["currency"],
        amount=int(row["amount"]),
        fee=int(row["fee"]),
        settled_on=settled_on,
    )
