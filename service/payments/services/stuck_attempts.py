"""Stuck attempts: operators list them, and resolve them by evidence."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import DictRow

from payments.core.operator_errors import OperatorError
from payments.domain.operations import Attempt, CallKind
from payments.domain.outcomes import Outcome, Result
from payments.repositories import attempts, audit, payments, stuck_attempts
from payments.repositories.connection import Connection
from payments.services.context import Context
from payments.services.execution import record

#: The outcomes that a person may establish.
RESOLUTIONS = (Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE)


class ResolutionError(OperatorError):
    """An attempt that cannot be resolved; the message says why."""


def list_stuck(context: Context) -> list[DictRow]:
    """Return the attempts that only a person can settle."""
    with context.database.transaction() as tx:
        return list(stuck_attempts.list_stuck(tx))


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a person has established about an attempt, and where it can be seen."""

    attempt_id: str
    outcome: Outcome
    evidence: str
    actor: str
    #: The processor's id of what the attempt created, if it was unknown before.
    reference: str | None = None


def resolve(context: Context, resolution: Resolution) -> dict[str, str]:
    """Settle an attempt by a person's evidence, which is kept in the audit log.

    Returns:
        The ids of the attempt and its payment, the outcome, and the payment's status.

    Raises:
        ResolutionError: There is no evidence, or no such open attempt; the processor is being called for it right now,
            or is not configured; or its id of an approved payment, needed to capture or refund it, is missing.
    """
    if not resolution.evidence.strip():
        raise ResolutionError("Say where the outcome can be verified, such as --evidence 'processor dashboard, ...'.")
    attempt = _claim(context, resolution)
    result = Result(outcome=resolution.outcome, reference=resolution.reference, detail="resolved by a person")
    try:
        response = record(context, attempt, result, evidence=resolution.evidence)
    except psycopg.errors.UniqueViolation as error:
        raise ResolutionError(f"{resolution.reference} belongs to another attempt. Check --reference.") from error
    if response is None:
        raise ResolutionError("The attempt was claimed by another holder meanwhile. Check the payment.")
    with context.database.transaction() as tx:
        payment = payments.get_payment(tx, attempt, attempt.payment_id)
    return {
        "attempt": attempt.id,
        "outcome": resolution.outcome.value,
        "payment": attempt.payment_id,
        "status": payment.status.value if payment else "",
    }


def _claim(context: Context, resolution: Resolution) -> Attempt:
    with context.database.transaction() as tx:
        # Never from an active holder, who may be sending what a person has just found not done.
        attempt = attempts.claim_idle(tx, resolution.attempt_id)
        if attempt is None:
            raise ResolutionError(
                "There is no open attempt with this id, or the processor is being called for it right now: if so, "
                "retry in ten seconds. See `payments stuck`."
            )
        if attempt.processor not in context.processors:
            raise ResolutionError(f"The processor {attempt.processor} is not configured here. Set its keys first.")
        _require_reference(tx, attempt, resolution)
        audit.record(
            tx,
            attempt,
            actor=resolution.actor,
            action="attempt.resolve",
            subject=attempt.id,
            now=context.now(),
            details={
                "outcome": resolution.outcome.value,
                "evidence": resolution.evidence,
                "reference": resolution.reference,
            },
        )
        tx.commit()
    return attempt


def _require_reference(tx: Connection, attempt: Attempt, resolution: Resolution) -> None:
    if attempt.kind is not CallKind.PAYMENT or resolution.outcome is not Outcome.APPROVED:
        return
    payment = payments.get_payment(tx, attempt, attempt.payment_id)
    known = resolution.reference or attempt.processor_reference or (payment and payment.processor_reference)
    if not known:
        raise ResolutionError("Pass the processor's id of the payment as --reference: captures and refunds require it.")
