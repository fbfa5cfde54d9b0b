"""What must hold of a merchant's rows whatever happened: money, states, events and the processor's own books agree.

Written from the API's documentation, not from the code: the tables below are a second opinion.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

#: A row, or a JSON object: values of any type.
Row = dict[str, Any]
#: The documented state machine.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "processing": frozenset({"requires_action", "requires_capture", "succeeded", "failed", "canceled"}),
    "requires_action": frozenset({"processing", "canceled", "failed"}),
    "requires_capture": frozenset({"partially_captured", "succeeded", "canceled"}),
    "partially_captured": frozenset({"succeeded", "partially_captured"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
}
#: Events that announce a state of the payment.
STATE_EVENTS: Mapping[str, str] = {
    "payment.processing": "processing",
    "payment.requires_action": "requires_action",
    "payment.authorized": "requires_capture",
    "payment.partially_captured": "partially_captured",
    "payment.succeeded": "succeeded",
    "payment.failed": "failed",
    "payment.canceled": "canceled",
}
DEBIT_NORMAL = frozenset({"processor_receivable", "processor_fees", "cash", "disputes"})


def fee(captured: int, basis_points: int = 290) -> int:
    """Return the platform's fee on all that was captured: rounded half up, however many captures there were."""
    return (captured * basis_points + 5000) // 10_000


def balances(entries: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Return the balance of each (currency, account) on its normal side, as the sum of ledger entries."""
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        for side, sign in (("debit_account", 1), ("credit_account", -1)):
            account = entry[side]
            sums[entry["currency"], account] += entry["amount"] * (sign if account in DEBIT_NORMAL else -sign)
    return dict(sums)


def audit(connection: psycopg.Connection[Any], merchants: Sequence[str], *, settled: bool = False) -> None:
    """Check everything about ``merchants``; with ``settled``, also that nothing is open, and the processor agrees."""
    rows = {table: _rows(connection, table, merchants) for table in ("payments", "operations", "attempts", "events")}
    transfers = _rows(connection, "ledger_transfers", merchants)
    journal = {row["attempt_id"]: row for row in _select(connection, "SELECT * FROM sandbox_journal")}
    for payment in rows["payments"]:
        of = {table: [row for row in found if row.get("payment_id") == payment["id"]] for table, found in rows.items()}
        posted = [row for row in transfers if row["payment_id"] == payment["id"]]
        try:
            _check_amounts(payment, of["operations"], posted)
            _check_state(payment, of["operations"], of["attempts"])
            _check_events(payment, of["events"])
            if settled:
                _check_settled(payment, of["operations"], of["attempts"])
                _check_processor(payment, of["operations"], of["attempts"], journal)
        except AssertionError as error:
            error.add_note(f"payment {payment['id']}: {payment['status']}, operations: {_brief(of['operations'])}")
            raise


def _check_amounts(payment: Row, operations: Sequence[Row], posted: Sequence[Row]) -> None:
    captured, refunded = payment["amount_captured"], payment["amount_refunded"]
    assert 0 <= refunded + payment["amount_refund_pending"] <= captured <= payment["amount_authorized"]
    assert payment["amount_authorized"] in (0, payment["amount"])
    assert payment["amount_refund_pending"] == _sum(operations, "refund", "pending"), "reserved = pending refunds"
    assert refunded == _sum(operations, "refund", "succeeded"), "refunded = refunds that succeeded"
    if payment["capture_method"] == "manual":
        assert captured == _sum(operations, "capture", "succeeded"), "captured = captures that succeeded"
    else:
        assert captured in (0, payment["amount"])
    fees = fee(captured, payment["fee_basis_points"])
    booked = balances(posted)
    assert {key[0] for key in booked} <= {payment["currency"]}
    expected = {
        "processor_receivable": captured - refunded,
        "merchant_payable": captured - refunded - fees,
        "platform_fees": fees,
    }
    found = {account: amount for (_, account), amount in booked.items() if amount}
    assert found == {account: amount for account, amount in expected.items() if amount}, "the ledger agrees"


def _check_state(payment: Row, operations: Sequence[Row], attempts: Sequence[Row]) -> None:
    status = payment["status"]
    in_flight = [row["kind"] for row in operations if row["status"] == "pending" and row["kind"] != "refund"]
    assert in_flight == ([payment["pending_operation"]] if payment["pending_operation"] else [])
    assert (payment["next_action"] is not None) == (status == "requires_action")
    if status == "partially_captured":
        assert 0 < payment["amount_captured"] < payment["amount"]
    if status in ("failed", "canceled", "requires_capture"):
        assert payment["amount_captured"] == 0
    if status == "succeeded":
        assert payment["amount_captured"] > 0
    started = [row["operation_id"] for row in attempts]
    assert len(started) == len(set(started)), "one attempt for each operation, and one for the payment"
    open_ = {row["operation_id"] for row in attempts if row["status"] == "open"}
    for operation in operations:
        assert operation["status"] != "pending" or operation["id"] in open_, "what is pending is looked up"
    if status in ("processing", "requires_action"):
        assert None in open_, "an open payment is looked up"


def _check_events(payment: Row, events: Sequence[Row]) -> None:
    events = sorted(events, key=lambda row: row["sequence"])
    assert [row["sequence"] for row in events] == list(range(1, payment["event_sequence"] + 1))
    state = "processing"
    for row in events:
        body = json.loads(row["body"])
        assert (body["id"], body["type"], body["sequence"]) == (row["id"], row["type"], row["sequence"])
        target = STATE_EVENTS.get(row["type"], state)
        assert target == state or target in TRANSITIONS[state], f"{state} -> {target}"
        if row["type"] in STATE_EVENTS:
            assert body["data"]["object"]["status"] == target, "an event shows the state that it announces"
        state = target
    assert state == payment["status"], "no state changes silently"


def _check_settled(payment: Row, operations: Sequence[Row], attempts: Sequence[Row]) -> None:
    assert payment["status"] not in ("processing",), "no state without a way out"
    assert payment["pending_operation"] is None, "no operation without a way out"
    assert not [row["id"] for row in operations if row["status"] == "pending"]
    waits = payment["status"] == "requires_action"
    assert not [row["id"] for row in attempts if row["status"] == "open" and not waits]


def _check_processor(
    payment: Row, operations: Sequence[Row], attempts: Sequence[Row], journal: Mapping[str, Row]
) -> None:
    """Compare with what the sandbox did: an approval there is one here, and nothing else is."""
    kinds = {row["id"]: row for row in operations}
    for attempt in attempts:
        entry, operation = journal.get(attempt["id"]), kinds.get(attempt["operation_id"])
        if attempt["status"] == "open" or entry is None:
            continue
        outcome = entry["settles_as"] if entry["outcome"] == "pending" else entry["outcome"]
        if operation is None:
            assert (outcome == "approved") == (payment["amount_authorized"] > 0), "authorized as at the processor"
        elif operation["kind"] != "void":
            assert (outcome == "approved") == (operation["status"] == "succeeded"), "settled as at the processor"
            assert entry["amount"] == operation["amount"]
        elif outcome == "approved":
            assert operation["status"] == "succeeded"


def _sum(operations: Sequence[Row], kind: str, status: str) -> int:
    return sum(row["amount"] for row in operations if (row["kind"], row["status"]) == (kind, status))


def _brief(operations: Sequence[Row]) -> list[str]:
    return [f"{row['kind']} {row['amount']} {row['status']}" for row in operations]


def _rows(connection: psycopg.Connection[Any], table: str, merchants: Sequence[str]) -> list[Row]:
    return _select(connection, f"SELECT * FROM {table} WHERE merchant_id = ANY(%s)", [list(merchants)])


def _select(connection: psycopg.Connection[Any], query: str, parameters: Sequence[object] = ()) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters or None).fetchall()
