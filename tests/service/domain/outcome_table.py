"""The outcome table of the API: everything that each outcome changes, one case per row."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from payments.domain.events import EventType
from payments.domain.ledger import Account, Posting, PostingKind
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import DeclineCode, ErrorDetails, Outcome, Result, error_details
from payments.domain.payments import CaptureMethod, NextAction, Payment, PaymentStatus
from payments.domain.transitions import ACTION_VALIDITY, Transition, Verdict
from tests.service.domain.samples import NOW, VALIDITY, operation, payment

S, E, O = PaymentStatus, EventType, Outcome  # noqa: E741 - short names for the table

CARD_DECLINED: ErrorDetails = {
    "code": "card_declined",
    "decline_code": "insufficient_funds",
    "advice": "try_again_later",
    "retryable": True,
}
NOT_DONE = error_details(Result(outcome=O.NOT_DONE))
EXPIRED = error_details(Result(outcome=O.EXPIRED))
NEXT_ACTION: NextAction = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://issuer.example/3ds"}}
LATER = NOW + timedelta(days=3)


def result(outcome: Outcome) -> Result:
    """A result with everything that a processor may report."""
    return Result(
        outcome=outcome,
        reference="ref_2",
        decline_code=DeclineCode.INSUFFICIENT_FUNDS if outcome is O.DECLINED else None,
        redirect_url="https://issuer.example/3ds" if outcome is O.REQUIRES_ACTION else None,
    )


def captured(amount: int, fee: int) -> tuple[Posting, ...]:
    return (
        Posting(
            kind=PostingKind.CAPTURE,
            debit=Account.PROCESSOR_RECEIVABLE,
            credit=Account.MERCHANT_PAYABLE,
            amount=amount,
        ),
        Posting(kind=PostingKind.FEE, debit=Account.MERCHANT_PAYABLE, credit=Account.PLATFORM_FEES, amount=fee),
    )


PROCESSING = payment()
AUTOMATIC = payment(capture_method=CaptureMethod.AUTOMATIC)
ACTING = payment(status=S.REQUIRES_ACTION, next_action=NEXT_ACTION, expires_at=LATER)
ACTING_AUTOMATIC = replace(ACTING, capture_method=CaptureMethod.AUTOMATIC)
AUTHORIZED = payment(status=S.REQUIRES_CAPTURE, amount_authorized=1000, expires_at=LATER)
PARTIAL = replace(AUTHORIZED, status=S.PARTIALLY_CAPTURED, amount_captured=400)
CAPTURED = replace(PARTIAL, status=S.SUCCEEDED, expires_at=None, amount_refunded=100, amount_refund_pending=50)
FAILED = payment(status=S.FAILED, last_error=CARD_DECLINED)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case. ``payment`` and ``operation`` name only what changes."""

    before: Payment
    outcome: Outcome
    op: Operation | None = None
    announced: bool = False
    payment: dict[str, Any] = field(default_factory=dict)
    operation: dict[str, Any] = field(default_factory=dict)
    postings: tuple[Posting, ...] = ()
    events: tuple[EventType, ...] = ()
    verdict: Verdict = Verdict.COMPLETED

    @property
    def expected(self) -> Transition:
        return Transition(
            payment=replace(self.before, **self.payment),
            operation=replace(self.op, **self.operation) if self.op else None,
            postings=self.postings,
            events=self.events,
            verdict=self.verdict,
        )


_SUCCEEDED = {"status": S.SUCCEEDED, "amount_authorized": 1000, "amount_captured": 1000, "processor_reference": "ref_2"}
_AUTHORIZED = {
    "status": S.REQUIRES_CAPTURE,
    "amount_authorized": 1000,
    "expires_at": NOW + VALIDITY,
    "processor_reference": "ref_2",
}
_NO_WAIT: dict[str, Any] = {"next_action": None, "expires_at": None, "processor_reference": "ref_2"}

CREATIONS = {
    "automatic, approved": Row(
        before=AUTOMATIC,
        outcome=O.APPROVED,
        payment=_SUCCEEDED,
        postings=captured(1000, 29),
        events=(E.PAYMENT_SUCCEEDED,),
    ),
    "manual, approved": Row(before=PROCESSING, outcome=O.APPROVED, payment=_AUTHORIZED, events=(E.PAYMENT_AUTHORIZED,)),
    "3-D Secure": Row(
        before=PROCESSING,
        outcome=O.REQUIRES_ACTION,
        payment={
            "status": S.REQUIRES_ACTION,
            "next_action": NEXT_ACTION,
            "expires_at": NOW + ACTION_VALIDITY,
            "processor_reference": "ref_2",
        },
        events=(E.PAYMENT_REQUIRES_ACTION,),
    ),
    "declined": Row(
        before=PROCESSING,
        outcome=O.DECLINED,
        payment={"status": S.FAILED, "last_error": CARD_DECLINED, "processor_reference": "ref_2"},
        events=(E.PAYMENT_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "certainly not done": Row(
        before=PROCESSING,
        outcome=O.NOT_DONE,
        payment={"status": S.FAILED, "last_error": NOT_DONE, "processor_reference": "ref_2"},
        events=(E.PAYMENT_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "customer still to act": Row(before=ACTING, outcome=O.REQUIRES_ACTION),
    "customer acted, automatic": Row(
        before=ACTING_AUTOMATIC,
        outcome=O.APPROVED,
        payment=_SUCCEEDED | _NO_WAIT,
        postings=captured(1000, 29),
        events=(E.PAYMENT_SUCCEEDED,),
    ),
    "customer acted, manual": Row(
        before=ACTING,
        outcome=O.APPROVED,
        payment=_AUTHORIZED | {"next_action": None},
        events=(E.PAYMENT_AUTHORIZED,),
    ),
    "customer was refused": Row(
        before=ACTING,
        outcome=O.DECLINED,
        payment=_NO_WAIT | {"status": S.FAILED, "last_error": CARD_DECLINED},
        events=(E.PAYMENT_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "customer never acted": Row(
        before=ACTING,
        outcome=O.NOT_DONE,
        payment=_NO_WAIT | {"status": S.CANCELED},
        events=(E.PAYMENT_CANCELED,),
        verdict=Verdict.REFUSED,
    ),
}

_CAPTURE = operation(CallKind.CAPTURE, 1000)
_PART = operation(CallKind.CAPTURE, 400, final=False)
_REST = operation(CallKind.CAPTURE, 600, final=False)
_DONE = {"status": OperationStatus.SUCCEEDED, "settled_at": NOW, "processor_reference": "ref_2"}
_REFUSED = {
    "status": OperationStatus.FAILED,
    "settled_at": NOW,
    "processor_reference": "ref_2",
    "error": CARD_DECLINED,
}
_CAPTURING = replace(AUTHORIZED, pending_operation="capture")
_CAPTURING_REST = replace(PARTIAL, pending_operation="capture")

CAPTURES = {
    "all": Row(
        before=_CAPTURING,
        outcome=O.APPROVED,
        op=_CAPTURE,
        payment={"status": S.SUCCEEDED, "amount_captured": 1000, "pending_operation": None, "expires_at": None},
        operation=_DONE,
        postings=captured(1000, 29),
        events=(E.PAYMENT_SUCCEEDED,),
    ),
    "part, final": Row(
        before=_CAPTURING,
        outcome=O.APPROVED,
        op=replace(_PART, final=True),
        payment={"status": S.SUCCEEDED, "amount_captured": 400, "pending_operation": None, "expires_at": None},
        operation=_DONE,
        postings=captured(400, 12),
        events=(E.PAYMENT_SUCCEEDED,),
    ),
    "part, not final": Row(
        before=_CAPTURING,
        outcome=O.APPROVED,
        op=_PART,
        payment={"status": S.PARTIALLY_CAPTURED, "amount_captured": 400, "pending_operation": None},
        operation=_DONE,
        postings=captured(400, 12),
        events=(E.PAYMENT_PARTIALLY_CAPTURED,),
    ),
    "part of the rest": Row(
        before=_CAPTURING_REST,
        outcome=O.APPROVED,
        op=replace(_REST, amount=100),
        payment={"amount_captured": 500, "pending_operation": None},
        operation=_DONE,
        postings=captured(100, 3),
        events=(E.PAYMENT_PARTIALLY_CAPTURED,),
    ),
    "all of the rest": Row(
        before=_CAPTURING_REST,
        outcome=O.APPROVED,
        op=_REST,
        payment={"status": S.SUCCEEDED, "amount_captured": 1000, "pending_operation": None, "expires_at": None},
        operation=_DONE,
        postings=captured(600, 17),
        events=(E.PAYMENT_SUCCEEDED,),
    ),
    "refused": Row(
        before=_CAPTURING,
        outcome=O.DECLINED,
        op=_CAPTURE,
        payment={"pending_operation": None, "last_error": CARD_DECLINED},
        operation=_REFUSED,
        events=(E.PAYMENT_CAPTURE_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "refused, expired": Row(
        before=_CAPTURING,
        outcome=O.EXPIRED,
        op=_CAPTURE,
        payment={"status": S.CANCELED, "pending_operation": None, "expires_at": None, "last_error": EXPIRED},
        operation=_REFUSED | {"error": EXPIRED},
        events=(E.PAYMENT_CAPTURE_FAILED, E.PAYMENT_CANCELED),
        verdict=Verdict.REFUSED,
    ),
    "refused, rest expired": Row(
        before=_CAPTURING_REST,
        outcome=O.EXPIRED,
        op=_REST,
        payment={"status": S.SUCCEEDED, "pending_operation": None, "expires_at": None, "last_error": EXPIRED},
        operation=_REFUSED | {"error": EXPIRED},
        events=(E.PAYMENT_CAPTURE_FAILED, E.PAYMENT_SUCCEEDED),
        verdict=Verdict.REFUSED,
    ),
    "unknown": Row(
        before=_CAPTURING,
        outcome=O.UNKNOWN,
        op=_CAPTURE,
        operation={"processor_reference": "ref_2"},
        verdict=Verdict.UNRESOLVED,
    ),
}

_VOID = operation(CallKind.VOID, 1000)
_VOIDING = replace(AUTHORIZED, pending_operation="void")
_RELEASED: dict[str, Any] = {"pending_operation": None, "expires_at": None}

VOIDS = {
    "done": Row(
        before=_VOIDING,
        outcome=O.APPROVED,
        op=_VOID,
        payment=_RELEASED | {"status": S.CANCELED},
        operation=_DONE,
        events=(E.PAYMENT_CANCELED,),
    ),
    "of an expired authorization": Row(
        before=_VOIDING,
        outcome=O.EXPIRED,
        op=_VOID,
        payment=_RELEASED | {"status": S.CANCELED},
        operation=_DONE,
        events=(E.PAYMENT_CANCELED,),
    ),
    "of the rest": Row(
        before=replace(PARTIAL, pending_operation="void"),
        outcome=O.APPROVED,
        op=replace(_VOID, amount=600),
        payment=_RELEASED | {"status": S.SUCCEEDED},
        operation=_DONE,
        events=(E.PAYMENT_SUCCEEDED,),
    ),
    "while customer has to act": Row(
        before=replace(ACTING, pending_operation="void"),
        outcome=O.APPROVED,
        op=_VOID,
        payment=_RELEASED | {"status": S.CANCELED, "next_action": None},
        operation=_DONE,
        events=(E.PAYMENT_CANCELED,),
    ),
    "of a failed payment": Row(
        before=replace(FAILED, pending_operation="void"),
        outcome=O.APPROVED,
        op=_VOID,
        payment={"pending_operation": None},
        operation=_DONE,
    ),
    "refused": Row(
        before=_VOIDING,
        outcome=O.DECLINED,
        op=_VOID,
        payment={"pending_operation": None, "last_error": CARD_DECLINED},
        operation=_REFUSED,
        events=(E.PAYMENT_VOID_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "unknown": Row(
        before=_VOIDING,
        outcome=O.UNKNOWN,
        op=_VOID,
        operation={"processor_reference": "ref_2"},
        verdict=Verdict.UNRESOLVED,
    ),
}

_REFUND = operation(CallKind.REFUND, 50)
_REFUNDED = replace(_REFUND, status=OperationStatus.SUCCEEDED, settled_at=LATER)
_REFUND_FAILED = replace(_REFUND, status=OperationStatus.FAILED, settled_at=LATER, error=CARD_DECLINED)


def refunded(kind: PostingKind, debit: Account, credit: Account) -> tuple[Posting, ...]:
    return (Posting(kind=kind, debit=debit, credit=credit, amount=50),)


REFUNDS = {
    "done": Row(
        before=CAPTURED,
        outcome=O.APPROVED,
        op=_REFUND,
        payment={"amount_refunded": 150, "amount_refund_pending": 0},
        operation=_DONE,
        postings=refunded(PostingKind.REFUND, Account.MERCHANT_PAYABLE, Account.PROCESSOR_RECEIVABLE),
        events=(E.REFUND_SUCCEEDED,),
    ),
    "refused": Row(
        before=CAPTURED,
        outcome=O.DECLINED,
        op=_REFUND,
        payment={"amount_refund_pending": 0},
        operation=_REFUSED,
        events=(E.REFUND_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "unknown": Row(
        before=CAPTURED,
        outcome=O.UNKNOWN,
        op=_REFUND,
        operation={"processor_reference": "ref_2"},
        events=(E.REFUND_PENDING,),
        verdict=Verdict.UNRESOLVED,
    ),
    "still unknown": Row(
        before=CAPTURED,
        outcome=O.UNKNOWN,
        op=_REFUND,
        announced=True,
        operation={"processor_reference": "ref_2"},
        verdict=Verdict.UNRESOLVED,
    ),
    "failed after success": Row(
        before=CAPTURED,
        outcome=O.DECLINED,
        op=_REFUNDED,
        payment={"amount_refunded": 50},
        operation=_REFUSED,
        postings=refunded(PostingKind.REFUND_REVERSAL, Account.PROCESSOR_RECEIVABLE, Account.MERCHANT_PAYABLE),
        events=(E.REFUND_FAILED,),
        verdict=Verdict.REFUSED,
    ),
    "done, reported twice": Row(before=CAPTURED, outcome=O.APPROVED, op=_REFUNDED),
    "failed, reported twice": Row(before=CAPTURED, outcome=O.DECLINED, op=_REFUND_FAILED),
    "done, then unknown": Row(before=CAPTURED, outcome=O.UNKNOWN, op=_REFUNDED),
}

_TABLES = {"creation": CREATIONS, "capture": CAPTURES, "void": VOIDS, "refund": REFUNDS}
ROWS = {f"{what} {case}": row for what, table in _TABLES.items() for case, row in table.items()}
