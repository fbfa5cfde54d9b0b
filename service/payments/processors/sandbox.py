"""The sandbox: the processor of test mode, which moves no money but keeps a journal.

It writes every decision to its journal, on its own connection and in its own transaction, before it responds. So "never
called" and "called, but the response was lost" differ as they do with a real processor.
"""

import logging
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from payments.domain.operations import CallKind
from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors.base import Call, Capabilities
from payments.processors.sandbox_tokens import TOKENS
from payments.repositories import sandbox_journal as journal
from payments.repositories.connection import Connection
from payments.repositories.database import Database, DatabaseUnavailable
from payments.repositories.group_commit import Step

_log = logging.getLogger("payments.sandbox")
#: How long a pending outcome stays pending.
SETTLES_AFTER = timedelta(seconds=2)
_REFERENCES = {
    CallKind.PAYMENT: "sbx_ch",
    CallKind.CAPTURE: "sbx_cap",
    CallKind.VOID: "sbx_void",
    CallKind.REFUND: "sbx_re",
}


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A 3-D Secure page. ``amount`` is in minor units."""

    attempt_id: str
    amount: int
    currency: str
    return_url: str | None
    #: Whether the customer can still decide.
    is_open: bool


class SandboxProcessor:
    """The sandbox. ``public_base_url`` is where its 3-D Secure page is served."""

    name = "sandbox"
    payment_method_pattern = f"^(?:{'|'.join(TOKENS)})$"
    capabilities = Capabilities(multicapture=True, key_validity=None, authorization_validity=timedelta(days=7))

    def __init__(self, database: Database, *, public_base_url: str, settles_after: timedelta = SETTLES_AFTER) -> None:
        self._database = database
        self._public_base_url = public_base_url
        self._settles_after = settles_after

    def payment_method_error(self, payment_method: str) -> str | None:
        """Accept the documented tokens only."""
        return None if payment_method in TOKENS else "Unknown sandbox payment method. See /docs for the list of tokens."

    def currency_error(self, currency: str) -> None:
        """Accept every currency."""

    def amount_error(self, kind: CallKind, amount: int, currency: str) -> None:
        """Accept every amount."""

    def is_available(self) -> bool:
        """Return ``True``: its own failures are outcomes."""
        return True

    def prepare(self, call: Call) -> None:
        """Prepare nothing: the sandbox authorizes in one step."""

    def authorize(self, call: Call) -> Result:
        """Decide as the token says."""
        return self._decide(call, lambda tx: self._entry(call, tx))

    def capture(self, call: Call) -> Result:
        """Capture, unless the charge was released or less is left."""
        return self._decide(call, lambda tx: self._operation_entry(call, tx))

    def void(self, call: Call) -> Result:
        """Release what is not captured."""
        return self._decide(call, lambda tx: self._operation_entry(call, tx))

    def refund(self, call: Call) -> Result:
        """Refund, up to what was captured."""
        return self._decide(call, lambda tx: self._operation_entry(call, tx))

    def look_up(self, call: Call) -> Result:
        """Return the decision in the journal."""
        return self._query(lambda tx: journal.find(tx, call.attempt_id))

    def abandon(self, call: Call) -> Result:
        """Close a charge that the customer never confirmed."""
        return self._query(lambda tx: journal.close(tx, call.attempt_id, outcome=Outcome.NOT_DONE))

    def challenge(self, token: str) -> Challenge | None:
        """Return the 3-D Secure page with this ``token``, if there ever was one."""
        with self._database.transaction() as tx:
            entry = journal.find_challenge(tx, token)
        if entry is None:
            return None
        return Challenge(
            attempt_id=entry.attempt_id,
            amount=entry.amount,
            currency=entry.currency,
            return_url=entry.return_url,
            is_open=entry.outcome == Outcome.REQUIRES_ACTION,
        )

    def decide(self, token: str, *, approve: bool) -> bool:
        """Record the customer's decision; ``False`` if there is one already."""
        outcome = Outcome.APPROVED if approve else Outcome.DECLINED
        decline_code = None if approve else DeclineCode.AUTHENTICATION_FAILED
        with self._database.transaction() as tx:
            decided = journal.decide(tx, token, outcome=outcome, decline_code=decline_code)
            tx.commit()
        return decided

    def _decide(self, call: Call, make_entry: Callable[[Connection], journal.JournalEntry]) -> Result:
        """Write one entry per attempt, and return its result, unless the token says that the response is lost."""

        def decide(tx: Connection) -> Generator[Step, None, journal.JournalEntry | None]:
            stored = journal.insert_once(tx, make_entry(tx))
            yield Step.COMMIT
            return stored()

        charge = call.charge_reference or call.attempt_id
        result = self._result_of(lambda: self._database.commit_together("decision", decide, locks=charge))
        token = TOKENS.get(call.payment_method)
        if token is not None and token.behaviour(call.kind).response_lost:
            return Result(outcome=Outcome.UNKNOWN, detail="response lost, as the token says")
        return result

    def _query(self, find: Callable[[Connection], Callable[[], journal.JournalEntry | None]]) -> Result:
        def ask() -> journal.JournalEntry | None:
            with self._database.transaction() as tx:
                found = find(tx)
                tx.commit()
                return found()

        return self._result_of(ask)

    def _result_of(self, ask: Callable[[], journal.JournalEntry | None]) -> Result:
        try:
            entry = ask()
        except (psycopg.Error, DatabaseUnavailable) as error:
            _log.warning("sandbox journal unavailable", extra={"reason": str(error)})
            return Result(outcome=Outcome.UNKNOWN, detail="no response from the sandbox")
        return Result(outcome=Outcome.NOT_FOUND) if entry is None else self._result(entry)

    def _result(self, entry: journal.JournalEntry) -> Result:
        url = f"{self._public_base_url}/v1/sandbox/3ds/{entry.action_token}" if entry.action_token else None
        return Result(
            outcome=Outcome(entry.outcome),
            reference=entry.reference,
            decline_code=DeclineCode(entry.decline_code) if entry.decline_code else None,
            redirect_url=url,
            detail="sandbox journal",
        )

    def _entry(self, call: Call, tx: Connection) -> journal.JournalEntry:
        behaviour = TOKENS[call.payment_method].behaviour(call.kind)
        needs_action = behaviour.outcome is Outcome.REQUIRES_ACTION
        return journal.JournalEntry(
            attempt_id=call.attempt_id,
            kind=call.kind.value,
            reference=f"{_REFERENCES[call.kind]}_{secrets.token_hex(12)}",
            charge_reference=None if call.kind is CallKind.PAYMENT else call.charge_reference,
            token=call.payment_method,
            amount=call.amount,
            currency=call.currency,
            outcome=behaviour.outcome.value,
            decline_code=behaviour.decline_code.value if behaviour.decline_code else None,
            settles_as=behaviour.settles_as.value if behaviour.settles_as else None,
            settles_at=journal.now(tx) + self._settles_after if behaviour.settles_as else None,
            action_token=secrets.token_urlsafe(24) if needs_action else None,
            return_url=call.return_url,
            automatic_capture=call.final if call.kind is CallKind.PAYMENT else None,
        )

    def _operation_entry(self, call: Call, tx: Connection) -> journal.JournalEntry:
        """Return the entry of an operation, as a refusal where the journal does not allow it."""
        entry = self._entry(call, tx)
        charge = journal.lock_charge(tx, call.charge_reference or "")
        if charge is None:
            return entry.refused(Outcome.DECLINED, DeclineCode.PROCESSING_ERROR)
        if call.kind is CallKind.CAPTURE and (charge.released or entry.amount > charge.capturable):
            return entry.refused(Outcome.EXPIRED, DeclineCode.AUTHORIZATION_EXPIRED)
        if call.kind is CallKind.VOID and entry.outcome == Outcome.APPROVED:
            closed = journal.close(tx, charge.attempt_id, outcome=Outcome.NOT_DONE)()
            if charge.captured_at_once and closed is not None and closed.outcome == Outcome.APPROVED:
                # The customer was faster: what is captured can only be refunded.
                return entry.refused(Outcome.DECLINED, DeclineCode.ALREADY_CAPTURED)
        if call.kind is CallKind.REFUND and entry.amount > charge.refundable:
            return entry.refused(Outcome.DECLINED, DeclineCode.REFUND_REFUSED)
        return entry
