"""A processor that moves no money: the test mode's, with books of its own.

Everything it does is written to its journal, on its own connection and in its own transaction, before it answers. So
"never called" and "called, but the answer was lost" differ as they do with a real processor.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from payments.domain.operations import CallKind
from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors.base import Call, Capabilities
from payments.processors.sandbox_tokens import TOKENS
from payments.repositories import sandbox_journal as journal
from payments.repositories.database import Connection, Database, DatabaseUnavailable

_log = logging.getLogger("payments.sandbox")
#: How long "decided later" takes.
SETTLES_AFTER = timedelta(seconds=2)
_REFERENCES = {
    CallKind.PAYMENT: "sbx_ch",
    CallKind.CAPTURE: "sbx_cap",
    CallKind.VOID: "sbx_void",
    CallKind.REFUND: "sbx_re",
}


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A 3-D Secure page that has not been answered yet."""

    attempt_id: str
    amount: int
    currency: str
    return_url: str | None


class SandboxProcessor:
    """See the module. ``public_base_url`` is where its 3-D Secure page is found."""

    name = "sandbox"
    capabilities = Capabilities(
        multicapture=True, prepares=False, key_validity=None, authorization_validity=timedelta(days=7)
    )

    def __init__(self, database: Database, *, public_base_url: str, settles_after: timedelta = SETTLES_AFTER) -> None:
        self._database = database
        self._public_base_url = public_base_url
        self._settles_after = settles_after

    def refuses_method(self, payment_method: str) -> str | None:
        """Why it is none of the documented tokens."""
        return None if payment_method in TOKENS else "The sandbox has no such payment method. See /docs for its tokens."

    def is_available(self) -> bool:
        """Always: its own failures are outcomes."""
        return True

    def prepare(self, call: Call) -> Result:
        """Nothing to prepare."""
        raise NotImplementedError("The sandbox prepares nothing: see its capabilities.")

    def authorize(self, call: Call) -> Result:
        """Do what the token says."""
        return self._do(call, lambda tx: self._entry(call, tx))

    def capture(self, call: Call) -> Result:
        """Capture, unless the charge was released or the amounts do not add up."""
        return self._do(call, lambda tx: self._operation_entry(call, tx))

    def void(self, call: Call) -> Result:
        """Release what is not captured."""
        return self._do(call, lambda tx: self._operation_entry(call, tx))

    def refund(self, call: Call) -> Result:
        """Give back, up to what was captured."""
        return self._do(call, lambda tx: self._operation_entry(call, tx))

    def look_up(self, call: Call) -> Result:
        """What the journal says."""
        return self._ask(lambda tx: journal.get(tx, call.attempt_id))

    def abandon(self, call: Call) -> Result:
        """Close a charge that the customer never confirmed."""
        return self._ask(lambda tx: journal.close(tx, call.attempt_id, outcome=Outcome.NOT_DONE))

    def challenge(self, token: str) -> Challenge | None:
        """The open 3-D Secure page with this ``token``."""
        with self._database.transaction() as tx:
            entry = journal.find_challenge(tx, token)
        if entry is None:
            return None
        return Challenge(
            attempt_id=entry.attempt_id, amount=entry.amount, currency=entry.currency, return_url=entry.return_url
        )

    def decide(self, token: str, *, approve: bool) -> bool:
        """The customer's decision, once; ``False`` if it was made before."""
        outcome = Outcome.APPROVED if approve else Outcome.DECLINED
        decline_code = None if approve else DeclineCode.AUTHENTICATION_FAILED
        with self._database.transaction() as tx:
            decided = journal.decide(tx, token, outcome=outcome, decline_code=decline_code)
            tx.commit()
        return decided

    def _do(self, call: Call, make: Callable[[Connection], journal.JournalEntry]) -> Result:
        """Write the entry, once per attempt, and answer it; or lose the answer, if the token says so."""
        result = self._ask(lambda tx: journal.insert_once(tx, make(tx)))
        token = TOKENS.get(call.payment_method)
        if token is not None and token.behaviour(call.kind).answer_lost:
            return Result(outcome=Outcome.UNKNOWN, detail="the answer was lost, as the token says")
        return result

    def _ask(self, read: Callable[[Connection], journal.JournalEntry | None]) -> Result:
        try:
            with self._database.transaction() as tx:
                entry = read(tx)
                tx.commit()
        except (psycopg.Error, DatabaseUnavailable) as error:
            _log.warning("sandbox journal not reachable", extra={"reason": str(error)})
            return Result(outcome=Outcome.UNKNOWN, detail="the sandbox did not answer")
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
            settles_at=self._settles_at(tx) if behaviour.settles_as else None,
            action_token=secrets.token_urlsafe(24) if needs_action else None,
            return_url=call.return_url,
        )

    def _settles_at(self, tx: Connection) -> datetime:
        return journal.now(tx) + self._settles_after

    def _operation_entry(self, call: Call, tx: Connection) -> journal.JournalEntry:
        """The entry of an operation, refused where the sandbox's own books do not allow it."""
        entry = self._entry(call, tx)
        charge = journal.lock_charge(tx, call.charge_reference or "")
        if charge is None:
            return entry.refused(Outcome.DECLINED, DeclineCode.PROCESSING_ERROR)
        if call.kind is CallKind.CAPTURE and (charge.released or entry.amount > charge.capturable):
            return entry.refused(Outcome.EXPIRED, DeclineCode.AUTHORIZATION_EXPIRED)
        if call.kind is CallKind.VOID and entry.outcome == Outcome.APPROVED:
            journal.close(tx, charge.attempt_id, outcome=Outcome.NOT_DONE)
        if call.kind is CallKind.REFUND and entry.amount > charge.refundable:
            return entry.refused(Outcome.DECLINED, DeclineCode.REFUND_REFUSED)
        return entry
