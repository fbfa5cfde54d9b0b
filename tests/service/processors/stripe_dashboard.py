"""The stand-in for Stripe, and what people and banks do there: its dashboard, expiry, disputes.

Each change also appends the webhooks that Stripe would send to `messages`, with the object as it is at that moment, for
the test to deliver, repeat, reorder or lose.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.service.processors.stripe_rules import invalid
from tests.service.processors.stripe_standin import StripeStandin

#: What Stripe takes for a dispute, in the units of the account's currency.
DISPUTE_FEE = 1500


@dataclass
class StripeDashboard(StripeStandin):
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: (type of the event, the object at that time).
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __repr__(self) -> str:
        return "StripeDashboard()"  # all it holds would fill a report

    def _announce(self, obj: dict[str, Any], *types: str) -> None:
        self.messages.extend((event_type, json.loads(json.dumps(obj))) for event_type in types)

    def _charge(self, intent: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": intent["latest_charge"],
            "object": "charge",
            "payment_intent": intent["id"],
            "amount_refunded": self.refunded(intent["id"]),
            "livemode": False,
        }

    def refunded(self, intent_id: str, *statuses: str) -> int:
        """Return the sum of an intent's refunds, by default of all that have not failed."""
        return sum(
            refund["amount"]
            for refund in self.refunds.values()
            if refund["payment_intent"] == intent_id and refund["status"] in (statuses or ("pending", "succeeded"))
        )

    # ---- the dashboard
    def dashboard_refund(self, intent_id: str, amount: int | None = None, *, status: str = "succeeded") -> str:
        """Refund as a person does: without our metadata. Raises `Refused` as the API would."""
        with self._lock:
            before, self.refund_status = self.refund_status, status
            form: dict[str, Any] = {"payment_intent": intent_id}
            refund = self.refund("", form if amount is None else {**form, "amount": str(amount)})
            self.refund_status = before
            self._announce(refund, "refund.created")
            self._announce(self._charge(self.intents[intent_id]), "charge.refunded")
            return str(refund["id"])

    def settle_refund(self, refund_id: str, status: str) -> None:
        """Let a refund succeed, or fail: also one that had succeeded, when the customer's bank returns it."""
        with self._lock:
            self.refunds[refund_id]["status"] = status
            self._announce(self.refunds[refund_id], "refund.failed" if status == "failed" else "refund.updated")

    def dashboard_capture(self, intent_id: str, amount: int | None = None) -> None:
        with self._lock:
            intent = self.capture(intent_id, {} if amount is None else {"amount_to_capture": str(amount)})
            self._announce(intent, "payment_intent.succeeded")
            self._announce(self._charge(intent), "charge.captured")

    def dashboard_cancel(self, intent_id: str, *, reason: str = "requested_by_customer") -> None:
        """Release an authorization; with the reason `automatic`, it is the one that expired."""
        with self._lock:
            self._announce(self.cancel(intent_id, {"cancellation_reason": reason}), "payment_intent.canceled")

    # ---- banks
    def open_dispute(
        self, intent_id: str, amount: int | None = None, *, status: str = "needs_response", withdraw: bool = True
    ) -> str:
        with self._lock:
            intent = self.intents[intent_id]
            dispute = {
                "id": f"du_{next(self._ids)}",
                "object": "dispute",
                "amount": intent["amount_received"] if amount is None else amount,
                "currency": intent["currency"],
                "charge": intent["latest_charge"],
                "payment_intent": intent_id,
                "status": status,
                "reason": "fraudulent",
                "evidence_details": {"due_by": 1_800_000_000},
                "balance_transactions": [],
                "livemode": False,
            }
            self.disputes[dispute["id"]] = dispute
            self._announce(dispute, "charge.dispute.created")
            if withdraw:
                self.withdraw(dispute["id"])
            return str(dispute["id"])

    def withdraw(self, dispute_id: str, **changes: Any) -> None:
        """Take the disputed amount and the fee from the account."""
        self._move(dispute_id, -self.disputes[dispute_id]["amount"], DISPUTE_FEE, changes, "funds_withdrawn")

    def reinstate(self, dispute_id: str, amount: int | None = None, **changes: Any) -> None:
        """Return the disputed amount, without the fee."""
        whole = self.disputes[dispute_id]["amount"]
        self._move(dispute_id, whole if amount is None else amount, 0, changes, "funds_reinstated")

    def _move(self, dispute_id: str, amount: int, fee: int, changes: dict[str, Any], event: str) -> None:
        with self._lock:
            dispute = self.disputes[dispute_id]
            transaction = {
                "id": f"txn_{next(self._ids)}",
                "object": "balance_transaction",
                "amount": amount,
                "currency": dispute["currency"],
                "fee": fee,
                "net": amount - fee,
                "type": "adjustment",
            }
            dispute["balance_transactions"].append({**transaction, **changes})
            self._announce(dispute, f"charge.dispute.{event}")

    def move_dispute(self, dispute_id: str, status: str) -> None:
        """Let a dispute reach ``status``."""
        with self._lock:
            dispute = self.disputes[dispute_id]
            dispute["status"] = status
            closed = status in {"won", "lost", "warning_closed", "prevented"}
            self._announce(dispute, f"charge.dispute.{'closed' if closed else 'updated'}")

    # ---- the API
    def list_disputes(self, _: str, form: dict[str, Any]) -> dict[str, Any]:
        found = [d for d in reversed(self.disputes.values()) if d["payment_intent"] == form.get("payment_intent")]
        return {"object": "list", "url": "/v1/disputes", "has_more": False, "data": found}

    def get_dispute(self, dispute_id: str, _: dict[str, Any]) -> dict[str, Any]:
        if dispute_id not in self.disputes:
            raise invalid("No such dispute", "resource_missing", 404)
        return self.disputes[dispute_id]

    def get_charge(self, charge_id: str, _: dict[str, Any]) -> dict[str, Any]:
        for intent in self.intents.values():
            if intent["latest_charge"] == charge_id:
                return self._charge(intent)
        raise invalid("No such charge", "resource_missing", 404)

    _ROUTES = (  # type: ignore[assignment]  # more of them
        *StripeStandin._ROUTES,
        ("GET", re.compile(r"/v1/disputes/([^/]+)"), "get_dispute"),
        ("GET", re.compile(r"/v1/disputes()"), "list_disputes"),
        ("GET", re.compile(r"/v1/charges/([^/]+)"), "get_charge"),
    )
