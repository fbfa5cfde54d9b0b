"""Reconciliation: comparing a processor's settlement report with our ledger."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from psycopg.rows import DictRow

from payments.core.operator_errors import OperatorError
from payments.domain.money import MAX_AMOUNT, is_currency
from payments.processors.stripe_amounts import UnitError, from_stripe
from payments.repositories import audit, settlement_lines
from payments.repositories.settlement_lines import SettlementLine
from payments.services.context import Context

#: `reference` is the processor's id of the payment or refund; `settled_on` is the day (UTC) on which money moved.
COLUMNS = ("kind", "reference", "currency", "amount", "fee", "settled_on")
_AMOUNT = re.compile(r"[0-9]{1,12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KINDS = ("charge", "refund")
#: Converts an amount from a processor's unit of a currency.
ToMinorUnits = Callable[[int, str], int]
#: The processors whose units are not those of ISO 4217.
UNITS: Mapping[str, ToMinorUnits] = {"stripe": from_stripe}


class ReportError(OperatorError):
    """A report that cannot be imported; the message says where and why. Nothing of it is stored."""


@dataclass(frozen=True, kw_only=True)
class SettlementReport:
    """A report to import, and who imports it."""

    processor: str
    livemode: bool
    name: str
    actor: str


def parse(rows: Iterable[str], *, processor: str) -> Sequence[SettlementLine]:
    """Parse the lines of a report in CSV, whose amounts are in the units of ``processor``.

    Returns:
        The lines, with amounts in ISO 4217 minor units.

    Raises:
        ReportError: The report is malformed, or it has no lines and so covers no day.
    """
    try:
        lines = list(_parse(rows, UNITS.get(processor, _same)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReportError(f"The report is not CSV in UTF-8: {error}.") from error
    if not lines:
        raise ReportError("The report has no lines, so there is nothing to compare.")
    return lines


def reconcile(
    context: Context, report: SettlementReport, lines: Sequence[SettlementLine], *, replace: bool = False
) -> Sequence[DictRow]:
    """Store a report and return how it differs from our ledger. Importing it again changes nothing.

    Raises:
        ReportError: A report of this name with other lines is stored, and ``replace`` is not set.
    """
    with context.database.transaction() as tx:
        settlement_lines.lock(tx)
        stored = settlement_lines.of_report(tx, processor=report.processor, livemode=report.livemode, name=report.name)
        if stored and stored != lines and not replace:
            raise ReportError(
                f"A different report is stored as {report.name!r}. Name this one with --report, or pass --replace if "
                "it corrects the other."
            )
        if stored != lines:
            settlement_lines.store(
                tx, processor=report.processor, livemode=report.livemode, name=report.name, lines=lines
            )
        tx.commit()  # before the comparison, which takes long and would hold back the readers of events and ledger
        settlement_lines.lock(tx)
        found = settlement_lines.differences(
            tx,
            processor=report.processor,
            livemode=report.livemode,
            name=report.name,
            first=min(line.settled_on for line in lines),
            last=max(line.settled_on for line in lines),
        )
        audit.record(
            tx,
            None,
            actor=report.actor,
            action="report.reconcile",
            subject=report.name,
            now=context.now(),
            details={
                "processor": report.processor,
                "livemode": report.livemode,
                "lines": len(lines),
                "replaced": bool(stored) and stored != lines,
                "differences": len(found),
            },
        )
        tx.commit()
    return found


def _same(amount: int, _: str) -> int:
    return amount


def _parse(rows: Iterable[str], to_minor_units: ToMinorUnits) -> Iterator[SettlementLine]:
    reader = csv.reader(rows, strict=True)
    if tuple(next(reader, ())) != COLUMNS:
        raise ReportError(f"The report must begin with the header line {','.join(COLUMNS)}.")
    for row in reader:
        if len(row) != len(COLUMNS):
            raise ReportError(f"Line {reader.line_num}: expected {len(COLUMNS)} fields, found {len(row)}.")
        line = _line(reader.line_num, *row)
        try:
            amount, fee = (to_minor_units(value, line.currency) for value in (line.amount, line.fee))
        except UnitError as error:
            raise ReportError(f"Line {line.line}: {error}; our books have no such amount.") from error
        if max(amount, fee) > MAX_AMOUNT:
            raise ReportError(f"Line {line.line}: amount and fee can be at most {MAX_AMOUNT} minor units.")
        yield replace(line, amount=amount, fee=fee)


def _line(number: int, kind: str, reference: str, currency: str, amount: str, fee: str, day: str) -> SettlementLine:
    if kind not in _KINDS:
        raise ReportError(f"Line {number}: kind must be {' or '.join(_KINDS)}.")
    if not reference or not reference.isprintable():
        raise ReportError(f"Line {number}: reference must be printable and not empty.")
    if not is_currency(currency):
        raise ReportError(f"Line {number}: currency must be an ISO 4217 code such as EUR.")
    if not _AMOUNT.fullmatch(amount) or not _AMOUNT.fullmatch(fee):
        raise ReportError(f"Line {number}: amount and fee must be whole numbers, from 0 to {MAX_AMOUNT}.")
    return SettlementLine(
        line=number,
        kind=kind,
        reference=reference,
        currency=currency,
        amount=int(amount),
        fee=int(fee),
        settled_on=_day(number, day),
    )


def _day(number: int, text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:  # such as February 31
        pass
    raise ReportError(f"Line {number}: settled_on must be a date such as 2026-11-24.")
