"""What the API promises about payments, as a model: written from its documentation, not from its code.

The model predicts each answer, the payment and its refunds as they are shown afterwards, the events (with what they
show), and the ledger's entries.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.proof.audit import fee

#: A JSON object.
Json = dict[str, Any]

#: How creating a payment ends, by token: the outcome, and what an open one turns into.
CREATION: Mapping[str, str] = {
    "tok_declined": "generic_decline",
    "tok_insufficient_funds": "insufficient_funds",
    "tok_expired_card": "expired_card",
    "tok_fraudulent": "fraudulent",
    "tok_processor_error": "processing_error",
    "tok_3ds": "requires_action",
    "tok_lost_approved": "lost approved",
    "tok_lost_declined": "lost generic_decline",
    "tok_pending_approved": "pending approved",
    "tok_pending_declined": "pending generic_decline",
}
#: How operations end, where they do not simply succeed.
OPERATIONS: Mapping[tuple[str, str], str] = {
    ("tok_capture_declined", "capture"): "generic_decline",
    ("tok_capture_expired", "capture"): "authorization_expired",
    ("tok_capture_lost", "capture"): "lost approved",
    ("tok_void_declined", "void"): "generic_decline",
    ("tok_void_lost", "void"): "lost approved",
    ("tok_refund_declined", "refund"): "refund_refused",
    ("tok_refund_lost", "refund"): "lost approved",
    ("tok_refund_pending", "refund"): "pending approved",
}
TOKENS = ["tok_visa", *CREATION, *sorted({token for token, _ in OPERATIONS})]
CAPTURABLE = ("requires_capture", "partially_captured")


def error(code: str) -> Json:
    """Return what a failure is called; its advice is the processor's, and not predicted here."""
    kinds = {"processing_error": "processor_error", "authorization_expired": "authorization_expired"}
    return {"code": kinds.get(code, "card_declined"), "decline_code": code}


@dataclass
class Request:
    """A POST and its answer, for as long as its key is remembered."""

    path: str
    body: Json
    key: str
    #: What it is about.
    subject: "Payment | Operation | None" = None
    #: Status and body once they are final; ``None`` while the outcome is open.
    final: tuple[int, Json] | None = None


@dataclass
class Operation:
    """A capture, void or refund. ``open`` is how it will turn out."""

    kind: str
    amount: int
    final: bool
    request: Request | None
    #: Chosen by the server; only refunds show theirs.
    id: str = ""
    reason: str | None = None
    status: str = "pending"
    error: Json | None = None
    open: str = ""


@dataclass
class Payment:
    """A payment; names and meanings are the API's."""

    fields: Json
    request: Request
    #: Chosen by the server, like the path of the 3-D Secure page.
    id: str = ""
    page: str = ""
    status: str = "processing"
    captured: int = 0
    refunded: int = 0
    authorized: int = 0
    last_error: Json | None = None
    pending: str | None = None
    #: How its creation will turn out, while that is open.
    open: str = ""
    operations: list[Operation] = field(default_factory=list)
    #: (type, what it shows), oldest first.
    events: list[tuple[str, Json]] = field(default_factory=list)
    #: (kind, debit, credit, amount), oldest first.
    entries: list[tuple[str, str, str, int]] = field(default_factory=list)

    @property
    def amount(self) -> int:
        return int(self.fields["amount"])

    @property
    def refund_pending(self) -> int:
        return sum(op.amount for op in self.operations if (op.kind, op.status) == ("refund", "pending"))

    @property
    def capturable(self) -> int:
        return self.authorized - self.captured if self.status in CAPTURABLE else 0

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded - self.refund_pending

    @property
    def refunds(self) -> list[Operation]:
        return [op for op in self.operations if op.kind == "refund"]

    def view(self) -> Json:
        """Return the payment as the API shows it, but for what the server chooses (ids, times, addresses)."""
        return {
            "object": "payment",
            "reference": None,
            "description": None,
            "metadata": {},
            "return_url": None,
            "capture_method": "automatic",
            **self.fields,
            "status": self.status,
            "amount_authorized": self.authorized,
            "amount_capturable": self.capturable,
            "amount_captured": self.captured,
            "amount_refunded": self.refunded,
            "amount_refund_pending": self.refund_pending,
            "pending_operation": self.pending,
            "last_error": self.last_error,
            "livemode": False,
        }

    def refund_view(self, refund: Operation) -> Json:
        return {
            "object": "refund",
            "status": refund.status,
            "amount": refund.amount,
            "currency": self.fields["currency"],
            "reason": refund.reason,
            "last_error": refund.error,
            "livemode": False,
        }

    def refusal(self, operation: str, amount: int | None) -> int | None:
        """Return the status with which an operation is refused before it starts, if it is."""
        limit = {"capture": self.capturable, "void": self.capturable, "refund": self.refundable}[operation]
        voidable = operation == "void" and (self.status in CAPTURABLE or self.status == "requires_action")
        if not (voidable or (operation != "void" and limit > 0)):
            return 409
        if operation != "refund" and self.pending:
            return 409
        return 422 if amount is not None and amount > limit else None

    # ---- creation ----------------------------------------
    def create(self) -> int:
        """Send it to the processor; returns the status of the answer."""
        return self._create(CREATION.get(self.fields["payment_method"], "approved"))

    def _create(self, outcome: str) -> int:
        if outcome == "approved":
            self._authorize()
            return self._answer(self.request, 201, self.view())
        if outcome == "requires_action":
            self._announce("requires_action", "payment.requires_action")
            self.open = outcome
            return self._answer(self.request, 201, self.view())
        if " " in outcome:
            self.open = outcome
            self._event("payment.processing")
            return 202
        self.last_error = error(outcome)
        self._announce("failed", "payment.failed")
        return self._answer(self.request, 402, {"payment": self.view()})

    def _authorize(self) -> None:
        self.authorized = self.amount
        if self.fields.get("capture_method") == "manual":
            self._announce("requires_capture", "payment.authorized")
        else:
            self._capture(self.amount)
            self._announce("succeeded", "payment.succeeded")

    def decide(self, *, approve: bool) -> None:
        """Let the customer decide on the 3-D Secure page."""
        self.open = ""
        self._announce("processing", "payment.processing")
        self._create("approved" if approve else "authentication_failed")

    def expire(self) -> None:
        """Let time run out: for the customer to act, or for the authorization, whose void the worker sends."""
        if self.status == "requires_action":
            self.open = ""
            self._announce("canceled", "payment.canceled")
        elif self.status in CAPTURABLE and not self.pending:
            self.start(Operation(kind="void", amount=self.capturable, final=True, request=None))

    # ---- operations ----------------------------------------
    def start(self, operation: Operation) -> int:
        """Send an operation that is not refused; returns the status of the answer."""
        self.operations.append(operation)
        if operation.kind != "refund":
            self.pending = operation.kind
        outcome = OPERATIONS.get((self.fields["payment_method"], operation.kind), "approved")
        if " " in outcome:
            operation.open = outcome
            if operation.kind == "refund":
                self._event("refund.pending", operation)
            return 202
        return self._end(operation, outcome)

    def _end(self, operation: Operation, outcome: str) -> int:
        operation.open = ""
        operation.status = "succeeded" if outcome == "approved" else "failed"
        operation.error = None if outcome == "approved" else error(outcome)
        if operation.kind != "refund":
            self.pending = None
        done = {"capture": self._end_capture, "void": self._end_void, "refund": self._end_refund}
        done[operation.kind](operation)
        if operation.status == "succeeded":
            status = 201 if operation.kind == "refund" else 200
            return self._answer(operation.request, status, self._subject(operation))
        refused = {"payment": self.view()}
        if operation.kind == "refund":
            refused["refund"] = self.refund_view(operation)
        return self._answer(operation.request, 402, refused)

    def _end_capture(self, capture: Operation) -> None:
        if capture.status == "failed":
            self.last_error = capture.error
            expired = capture.error == error("authorization_expired")
            if expired:
                self.status = "succeeded" if self.captured else "canceled"
            self._event("payment.capture_failed")
            if expired:
                self._event(f"payment.{self.status}")
            return
        self._capture(capture.amount)
        done = capture.final or self.captured == self.authorized
        target = "succeeded" if done else "partially_captured"
        self.last_error = None
        self._announce(target, f"payment.{target}")

    def _end_void(self, void: Operation) -> None:
        if void.status == "failed":
            self.last_error = void.error
            self._event("payment.void_failed")
            return
        self.open = ""  # nobody waits for the customer any more
        target = "succeeded" if self.captured else "canceled"
        self.last_error = None
        self._announce(target, f"payment.{target}")

    def _end_refund(self, refund: Operation) -> None:
        if refund.status == "succeeded":
            self.refunded += refund.amount
            self.entries.append(("refund", "merchant_payable", "processor_receivable", refund.amount))
        self._event(f"refund.{refund.status}", refund)

    def settle(self, *, pending_too: bool) -> None:
        """Let the worker ask the processor about everything open, in the order in which it began."""
        if self.open.startswith("lost ") or (pending_too and self.open.startswith("pending ")):
            outcome, self.open = self.open.split(" ")[1], ""
            self._create(outcome)
        for operation in self.operations:
            if operation.open.startswith("lost ") or (pending_too and operation.open.startswith("pending ")):
                self._end(operation, operation.open.split(" ")[1])

    # ---- what each change leaves behind ----------------------------------------
    def _capture(self, amount: int) -> None:
        self.entries.append(("capture", "processor_receivable", "merchant_payable", amount))
        share = fee(self.captured + amount) - fee(self.captured)
        if share:
            self.entries.append(("fee", "merchant_payable", "platform_fees", share))
        self.captured += amount

    def _subject(self, operation: Operation | None) -> Json:
        return self.refund_view(operation) if operation and operation.kind == "refund" else self.view()

    def _announce(self, status: str, event: str) -> None:
        self.status = status
        self._event(event)

    def _event(self, event: str, refund: Operation | None = None) -> None:
        self.events.append((event, deepcopy(self._subject(refund))))

    def _answer(self, request: Request | None, status: int, body: Json) -> int:
        if request is not None and request.final is None:
            request.final = status, deepcopy(body)
        return status
