"""What people on call do about single attempts: list what is stuck, settle it with evidence."""

from dataclasses import dataclass
from typing import Any

import psycopg

from payments.domain.operations import Attempt, CallKind
from payments.domain.outcomes import Outcome, Result
from payments.repositories import attempts, audit, payments, stuck_attempts
from payments.repositories.database import Connection
from payments.services.context import Context
from payments.services.execution import record

#: What a person may establish about an attempt.
RESOLUTIONS = (Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE)


class ResolutionError(Exception):
    """A request that cannot be carried out; the message says why."""


def list_stuck(context: Context) -> list[dict[str, Any]]:
    """Attempts that only a person can settle."""
    with context.database.transaction() as tx:
        return list(stuck_attempts.stuck(tx))


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a person found out about an attempt, and where it can be seen."""

    attempt_id: str
    outcome: Outcome
    evidence: str
    actor: str
    #: The processor's id of what the attempt made, if it is known only now.
    reference: str | None = None


def resolve(context: Context, resolution: Resolution) -> dict[str, str]:
    """Settle an attempt by a person's evidence, kept in the audit log; answers what became of its payment.

    Raises:
        ResolutionError: no evidence, no such open attempt, somebody is asking the processor about it just now, its
            processor is not configured, or an approved payment could not be captured or refunded later because nobody
            knows the processor's id of it.
    """
    if not resolution.evidence.strip():
        raise ResolutionError("Say where the truth can be seen: --evidence 'dashboard of the processor, ...'.")
    with context.database.transaction() as tx:
        # Never from under a holder: it may be sending the very thing that a person has just found not done.
        attempt = attempts.claim_idle(tx, resolution.attempt_id)
        if attempt is None:
            raise ResolutionError(
                "There is no open attempt of that id, or the processor is being asked about it at this moment: then "
                "try again in ten seconds. See `payments stuck`."
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
    result = Result(outcome=resolution.outcome, reference=resolution.reference, detail="resolved by a person")
    try:
        response = record(context, attempt, result, evidence=resolution.evidence)
    except psycopg.errors.UniqueViolation as error:
        raise ResolutionError(f"{resolution.reference} belongs to another attempt. Check --reference.") from error
    if response is None:
        raise ResolutionError("The attempt was taken over by somebody else meanwhile. Read the payment.")
    with context.database.transaction() as tx:
        payment = payments.get_payment(tx, attempt, attempt.payment_id)
    return {
        "attempt": attempt.id,
        "outcome": resolution.outcome.value,
        "payment": attempt.payment_id,
        "status": payment.status.value if payment else "",
    }


def _require_reference(tx: Connection, attempt: Attempt, resolution: Resolution) -> None:
    if attempt.kind is not CallKind.PAYMENT or resolution.outcome is not Outcome.APPROVED:
        return
    payment = payments.get_payment(tx, attempt, attempt.payment_id)
    known = resolution.reference or attempt.processor_reference or (payment and payment.processor_reference)
    if not known:
        raise ResolutionError(
            "Give the processor's id of the payment with --reference: it is captured and refunded by."
        )
