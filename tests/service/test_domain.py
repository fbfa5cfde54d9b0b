"""The pure rules: identifiers, money, states and postings, against their definitions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payments.domain import ids, money
from payments.domain.ledger import (
    DEBIT_NORMAL,
    GENESIS,
    Account,
    Posting,
    PostingKind,
    balance,
    capture_postings,
    refund_postings,
    refund_reversal_postings,
    seal_hash,
)
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import FINAL, Advice, DeclineCode, Outcome, Result, advice_for, is_retryable
from payments.domain.payments import (
    TRANSITIONS,
    AmountTooLarge,
    Busy,
    CaptureMethod,
    NotAllowed,
    Payment,
    PaymentStatus,
)
from payments.domain.settlement import (
    ACTION_VALIDITY,
    Change,
    EventType,
    failure,
    resume_after_action,
    settle,
    settle_payment,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
VALIDITY = timedelta(days=7)
_SPAN = timedelta(days=365 * 8000)
MOMENTS = st.timedeltas(timedelta(0), _SPAN).map(lambda since: datetime(1970, 1, 1, tzinfo=UTC) + since)
AMOUNTS = st.integers(1, money.MAX_AMOUNT)
RATES = st.integers(0, 10_000)


# ---- identifiers ----------------------------------------
def test_an_identifier_is_a_uuid_7_in_crockfords_alphabet() -> None:
    text = ids.new_id("pay", NOW)
    prefix, _, body = text.partition("_")
    assert (prefix, len(body)) == ("pay", 26)
    value = 0
    for character in body:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    assert value < 2**128
    assert value >> 80 == int(NOW.timestamp() * 1000)
    assert value >> 76 & 0xF == 7, "version"
    assert value >> 64 & 0xFFF == 456 * 4096 // 1000, "fraction of the millisecond"
    assert value >> 62 & 0b11 == 0b10, "variant"


@given(MOMENTS)
def test_identifiers_carry_their_time(moment: datetime) -> None:
    assert timedelta(0) <= moment - ids.made_at(ids.new_id("pay", moment)) < timedelta(milliseconds=1)


@given(MOMENTS, MOMENTS)
def test_identifiers_sort_by_time(one: datetime, other: datetime) -> None:
    first, second = sorted((one, other))
    if second - first >= timedelta(microseconds=1):
        assert ids.new_id("pay", first) < ids.new_id("pay", second)


@given(MOMENTS)
def test_bounds_in_time_are_bounds_on_identifiers(moment: datetime) -> None:
    moment = moment.replace(microsecond=0) + timedelta(milliseconds=1)
    assert ids.lowest_at("pay", moment) <= ids.new_id("pay", moment)
    assert ids.lowest_at("pay", moment) > ids.new_id("pay", moment - timedelta(milliseconds=1))
    assert ids.is_id("pay", ids.lowest_at("pay", moment))


def test_the_lowest_of_times_before_1970_is_the_lowest_of_all() -> None:
    assert ids.lowest_at("pay", datetime(1960, 1, 1, tzinfo=UTC)) == "pay_" + "0" * 26


def test_identifiers_do_not_collide() -> None:
    assert len({ids.new_id("pay", NOW) for _ in range(10_000)}) == 10_000


NO_IDS = [
    "",
    "pay",
    "pay_",
    "re_" + "0" * 26,
    "pay_" + "0" * 25,
    "pay_" + "0" * 27,
    "pay_" + "i" * 26,
    "pay_8" + "0" * 25,
    "pay_" + "0" * 25 + "A",
]


@pytest.mark.parametrize("text", NO_IDS)
def test_what_is_no_identifier(text: str) -> None:
    assert not ids.is_id("pay", text)
    assert ids.is_id("pay", "pay_" + "0" * 26)


# ---- money ----------------------------------------
@pytest.mark.parametrize(("code", "exponent"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4)])
def test_exponents_are_those_of_iso_4217(code: str, exponent: int) -> None:
    assert money.currencies()[code] == exponent
    assert money.is_currency(code)


@pytest.mark.parametrize("code", ["XXX", "XTS", "XAU", "eur", "EU", "ABC", ""])
def test_what_cannot_be_paid_with(code: str) -> None:
    assert not money.is_currency(code)


@given(AMOUNTS, RATES)
def test_a_share_is_rounded_half_up(amount: int, rate: int) -> None:
    exact, rounded = amount * rate, money.share(amount, rate) * 10_000
    assert -5000 < rounded - exact <= 5000
    assert 0 <= money.share(amount, rate) <= amount


def test_largest_amount() -> None:
    assert money.MAX_AMOUNT == 10**12 - 1


# ---- ledger ----------------------------------------
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8), RATES)
def test_many_small_captures_cost_what_one_large_does(parts: list[int], rate: int) -> None:
    before, fees, taken = 0, 0, 0
    for part in parts:
        for posting in capture_postings(captured_before=before, amount=part, fee_basis_points=rate):
            fees += posting.amount if posting.kind is PostingKind.FEE else 0
            taken += posting.amount if posting.kind is PostingKind.CAPTURE else 0
        before += part
    assert taken == sum(parts)
    assert fees == money.share(sum(parts), rate)


def test_postings_move_money_between_the_accounts_of_the_outcome_table() -> None:
    taken, fee = capture_postings(captured_before=0, amount=1000, fee_basis_points=290)
    assert (taken.kind, taken.debit, taken.credit, taken.amount) == (
        PostingKind.CAPTURE,
        Account.PROCESSOR_RECEIVABLE,
        Account.MERCHANT_PAYABLE,
        1000,
    )
    assert (fee.kind, fee.debit, fee.credit, fee.amount) == (
        PostingKind.FEE,
        Account.MERCHANT_PAYABLE,
        Account.PLATFORM_FEES,
        29,
    )
    assert len(capture_postings(captured_before=0, amount=1000, fee_basis_points=0)) == 1
    (refund,), (reversal,) = refund_postings(5), refund_reversal_postings(5)
    assert (refund.debit, refund.credit, refund.amount) == (Account.MERCHANT_PAYABLE, Account.PROCESSOR_RECEIVABLE, 5)
    assert (reversal.debit, reversal.credit, reversal.amount) == (refund.credit, refund.debit, 5)
    assert (refund.kind, reversal.kind) == (PostingKind.REFUND, PostingKind.REFUND_REVERSAL)


@pytest.mark.parametrize(("amount", "credit"), [(0, Account.CASH), (-1, Account.CASH), (1, Account.DISPUTES)])
def test_a_posting_moves_a_positive_amount_between_two_accounts(amount: int, credit: Account) -> None:
    with pytest.raises(ValueError, match="positive amount between two accounts"):
        Posting(kind=PostingKind.FEE, debit=Account.DISPUTES, credit=credit, amount=amount)
    assert Posting(kind=PostingKind.FEE, debit=Account.DISPUTES, credit=Account.CASH, amount=1).amount == 1


@pytest.mark.parametrize("account", Account)
def test_balances_are_told_on_their_normal_side(account: Account) -> None:
    expected = 7 if account in DEBIT_NORMAL else -7
    assert balance(account, debits=10, credits=3) == expected
    assert {Account.PROCESSOR_RECEIVABLE, Account.CASH, Account.PROCESSOR_FEES, Account.DISPUTES} == DEBIT_NORMAL


ROWS = st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=4)


@given(ROWS, ROWS)
def test_different_rows_have_different_seals(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    assert (seal_hash(GENESIS, one) == seal_hash(GENESIS, other)) == (one == other)


def test_a_seal_continues_the_one_before() -> None:
    first = seal_hash(GENESIS, [("a",)])
    assert bytes(32) == GENESIS
    assert len(first) == 32
    assert seal_hash(first, [("b",)]) != seal_hash(GENESIS, [("b",)])
    assert seal_hash(GENESIS, [("ab", "c")]) != seal_hash(GENESIS, [("a", "bc")])


# ---- outcomes ----------------------------------------
def test_every_decline_has_advice_and_only_waiting_is_retryable() -> None:
    for code in DeclineCode:
        assert advice_for(code) in Advice
        assert is_retryable(code) == (advice_for(code) is Advice.TRY_AGAIN_LATER)
    assert advice_for(DeclineCode.INSUFFICIENT_FUNDS) is Advice.TRY_AGAIN_LATER
    assert advice_for(DeclineCode.STOLEN_CARD) is Advice.DO_NOT_RETRY


def test_only_evidence_is_final() -> None:
    assert {outcome for outcome in Outcome if Result(outcome=outcome).is_final} == FINAL
    assert {Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE, Outcome.EXPIRED} == FINAL


FAILURES = {
    Result(outcome=Outcome.DECLINED): ("card_declined", DeclineCode.GENERIC_DECLINE),
    Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.LOST_CARD): ("card_declined", DeclineCode.LOST_CARD),
    Result(outcome=Outcome.NOT_DONE): ("processor_error", DeclineCode.PROCESSING_ERROR),
    Result(outcome=Outcome.EXPIRED): ("authorization_expired", DeclineCode.AUTHORIZATION_EXPIRED),
}


@pytest.mark.parametrize(("result", "expected"), FAILURES.items(), ids=str)
def test_failures_speak_our_vocabulary(result: Result, expected: tuple[str, DeclineCode]) -> None:
    code, decline = expected
    assert failure(result) == {
        "code": code,
        "decline_code": decline.value,
        "advice": advice_for(decline).value,
        "retryable": is_retryable(decline),
    }


# ---- payments ----------------------------------------
def payment(**fields: Any) -> Payment:
    values: dict[str, Any] = {
        "id": "pay_1",
        "merchant_id": "mer_1",
        "livemode": False,
        "status": PaymentStatus.PROCESSING,
        "amount": 1000,
        "currency": "EUR",
        "capture_method": CaptureMethod.MANUAL,
        "payment_method": "tok_visa",
        "reference": None,
        "description": None,
        "metadata": {},
        "return_url": None,
        "fee_basis_points": 290,
        "amount_authorized": 0,
        "amount_captured": 0,
        "amount_refunded": 0,
        "amount_refund_pending": 0,
        "pending_operation": None,
        "last_error": None,
        "next_action": None,
        "processor": "sandbox",
        "processor_reference": None,
        "expires_at": None,
        "event_sequence": 0,
        "api_version": "2026-11-01",
        "created_at": NOW,
    }
    return Payment(**{**values, **fields})


def operation(kind: CallKind, amount: int, *, final: bool = True) -> Operation:
    return Operation(
        id="op_1",
        merchant_id="mer_1",
        livemode=False,
        payment_id="pay_1",
        kind=kind,
        status=OperationStatus.PENDING,
        amount=amount,
        final=final,
        reason=None,
        error=None,
        processor_reference=None,
        created_at=NOW,
        settled_at=None,
    )


def test_the_state_machine_is_the_published_one() -> None:
    published = {
        "processing": "requires_action requires_capture succeeded failed canceled",
        "requires_action": "processing canceled failed",
        "requires_capture": "partially_captured succeeded canceled",
        "partially_captured": "succeeded",
        "succeeded": "",
        "failed": "",
        "canceled": "",
    }
    assert {state.value: " ".join(sorted(targets)) for state, targets in TRANSITIONS.items()} == {
        state: " ".join(sorted(targets.split())) for state, targets in published.items()
    }


def test_an_open_capture_or_void_keeps_others_out_but_not_refunds() -> None:
    busy = payment(
        status=PaymentStatus.PARTIALLY_CAPTURED,
        amount_authorized=1000,
        amount_captured=400,
        pending_operation="capture",
    )
    with pytest.raises(Busy, match="capture"):
        busy.check_capture(None)
    with pytest.raises(Busy):
        busy.check_void()
    assert busy.check_refund(400) == 400


def test_a_void_that_comes_through_after_a_decline_leaves_the_payment_failed() -> None:
    waiting = payment(status=PaymentStatus.REQUIRES_ACTION, pending_operation="void")
    declined = settle_payment(
        waiting, Result(outcome=Outcome.DECLINED), now=NOW, authorization_validity=VALIDITY, announced=True
    ).payment
    change = settle(
        declined,
        operation(CallKind.VOID, 1000),
        CallKind.VOID,
        Result(outcome=Outcome.APPROVED),
        now=NOW,
        authorization_validity=VALIDITY,
        announced=True,
    )
    assert (change.payment.status, change.payment.pending_operation, change.events) == (PaymentStatus.FAILED, None, ())
    assert change.operation is not None
    assert change.operation.status is OperationStatus.SUCCEEDED


def test_amounts_default_to_all_that_is_left() -> None:
    part = payment(
        status=PaymentStatus.PARTIALLY_CAPTURED,
        amount_authorized=1000,
        amount_captured=400,
        amount_refunded=100,
        amount_refund_pending=50,
    )
    assert (part.check_capture(None), part.check_void(), part.check_refund(None)) == (600, 600, 250)
    assert (part.check_capture(600), part.check_refund(250)) == (600, 250)
    with pytest.raises(AmountTooLarge) as refusal:
        part.check_refund(251)
    assert refusal.value.limit == 250
    with pytest.raises(AmountTooLarge):
        part.check_capture(601)


def test_a_refusal_names_the_state_and_what_is_allowed() -> None:
    with pytest.raises(
        NotAllowed, match=r"succeeded does not allow a capture\. Nothing is allowed any more\."
    ) as refusal:
        payment(status=PaymentStatus.SUCCEEDED).check_capture(None)
    assert (refusal.value.state, refusal.value.allowed) == (PaymentStatus.SUCCEEDED, [])
    with pytest.raises(NotAllowed, match=r"Allowed now: capture, void\.") as refusal:
        payment(status=PaymentStatus.REQUIRES_CAPTURE, amount_authorized=1000).check_refund(None)
    assert refusal.value.allowed == ["capture", "void"]


def test_a_change_that_the_machine_does_not_have_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="succeeded -> failed"):
        settle_payment(
            payment(status=PaymentStatus.SUCCEEDED),
            Result(outcome=Outcome.DECLINED),
            now=NOW,
            authorization_validity=VALIDITY,
            announced=False,
        )


def test_waits_end_by_themselves() -> None:
    asked = settle_payment(
        payment(),
        Result(outcome=Outcome.REQUIRES_ACTION, redirect_url="https://x"),
        now=NOW,
        authorization_validity=VALIDITY,
        announced=False,
    ).payment
    assert (asked.status, asked.expires_at) == (PaymentStatus.REQUIRES_ACTION, NOW + ACTION_VALIDITY)
    assert timedelta(hours=24) == ACTION_VALIDITY
    assert asked.next_action == {"type": "redirect_to_url", "redirect_to_url": {"url": "https://x"}}
    resumed = resume_after_action(asked)
    assert (resumed.status, resumed.next_action, resumed.expires_at) == (PaymentStatus.PROCESSING, None, None)
    authorized = settle_payment(
        resumed, Result(outcome=Outcome.APPROVED), now=NOW, authorization_validity=VALIDITY, announced=True
    ).payment
    assert (authorized.status, authorized.expires_at) == (PaymentStatus.REQUIRES_CAPTURE, NOW + VALIDITY)


RESULTS = st.builds(
    Result,
    outcome=st.sampled_from(list(Outcome)),
    decline_code=st.none() | st.sampled_from(list(DeclineCode)),
    reference=st.none() | st.just("ref"),
)


OPERATION_KINDS = st.sampled_from([CallKind.CAPTURE, CallKind.VOID, CallKind.REFUND])


class Life(RuleBasedStateMachine):
    """Any order of operations and outcomes, with the ledger kept beside."""

    def __init__(self) -> None:
        super().__init__()
        self.payment = payment()
        self.receivable = self.payable = self.fees = 0
        self.open: dict[int, Operation] = {}
        self.events: list[EventType] = []
        self.count = 0

    @initialize(method=st.sampled_from(list(CaptureMethod)), amount=AMOUNTS, rate=RATES)
    def begin(self, method: CaptureMethod, amount: int, rate: int) -> None:
        self.payment = payment(capture_method=method, amount=amount, fee_basis_points=rate)

    def apply(self, change: Change) -> None:
        before, self.payment = self.payment, change.payment
        if before.status is not self.payment.status:
            target = self.payment.status
            via_processing = (
                before.status is PaymentStatus.REQUIRES_ACTION and target in TRANSITIONS[PaymentStatus.PROCESSING]
            )
            assert target in TRANSITIONS[before.status] or via_processing
            assert change.events, "no state changes silently"
        for posting in change.postings:
            self.receivable += posting.amount * (posting.debit is Account.PROCESSOR_RECEIVABLE)
            self.receivable -= posting.amount * (posting.credit is Account.PROCESSOR_RECEIVABLE)
            self.payable += posting.amount * (posting.credit is Account.MERCHANT_PAYABLE)
            self.payable -= posting.amount * (posting.debit is Account.MERCHANT_PAYABLE)
            self.fees += posting.amount * (posting.credit is Account.PLATFORM_FEES)
        self.events += change.events
        assert change.settled or change.status in (201, 202)
        assert change.answer_is_final == (change.status != 202)

    def settle(self, op: Operation | None, kind: CallKind, result: Result) -> Change:
        return settle(
            self.payment, op, kind, result, now=NOW, authorization_validity=VALIDITY, announced=bool(self.events)
        )

    @precondition(lambda self: self.payment.status in (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION))
    @rule(result=RESULTS)
    def creation_settles(self, result: Result) -> None:
        self.apply(self.settle(None, CallKind.PAYMENT, result))

    @precondition(lambda self: self.payment.status is PaymentStatus.REQUIRES_ACTION)
    @rule()
    def customer_acts(self) -> None:
        self.payment = resume_after_action(self.payment)

    @rule(
        kind=st.sampled_from([CallKind.CAPTURE, CallKind.VOID, CallKind.REFUND]),
        part=st.none() | AMOUNTS,
        final=st.booleans(),
    )
    def operation_begins(self, kind: CallKind, part: int | None, final: bool) -> None:
        try:
            if kind is CallKind.CAPTURE:
                amount = self.payment.check_capture(part)
            else:
                amount = self.payment.check_void() if kind is CallKind.VOID else self.payment.check_refund(part)
        except (NotAllowed, Busy, AmountTooLarge):
            return
        self.count += 1
        self.open[self.count] = operation(kind, amount, final=final)
        if kind is CallKind.REFUND:
            self.payment = replace(self.payment, amount_refund_pending=self.payment.amount_refund_pending + amount)
        else:
            self.payment = replace(self.payment, pending_operation=kind.value)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), result=RESULTS)
    def operation_settles(self, data: st.DataObject, result: Result) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        op = self.open[number]
        change = self.settle(op, op.kind, result)
        assert change.operation is not None
        self.apply(change)
        if change.settled:
            assert change.operation.status is not OperationStatus.PENDING
            again = op.kind is CallKind.REFUND and change.operation.status is OperationStatus.SUCCEEDED
            if again:
                self.open[number] = change.operation  # it may fail later
            else:
                del self.open[number]
        else:
            assert change.operation.status is op.status

    @invariant()
    def money_is_conserved(self) -> None:
        now = self.payment
        assert 0 <= now.amount_refunded + now.amount_refund_pending <= now.amount_captured <= now.amount_authorized
        assert now.amount_authorized in (0, now.amount)
        assert self.receivable == now.amount_captured - now.amount_refunded
        assert self.fees == money.share(now.amount_captured, now.fee_basis_points)
        assert self.receivable == self.payable + self.fees

    @invariant()
    def amounts_fit_the_state(self) -> None:
        now = self.payment
        if now.status is PaymentStatus.PARTIALLY_CAPTURED:
            assert 0 < now.amount_captured < now.amount
        if now.status in (PaymentStatus.FAILED, PaymentStatus.CANCELED, PaymentStatus.REQUIRES_CAPTURE):
            assert now.amount_captured == 0
        if now.status is PaymentStatus.SUCCEEDED:
            assert now.amount_captured > 0
        assert (now.next_action is not None) == (now.status is PaymentStatus.REQUIRES_ACTION)
        reserved = sum(
            op.amount
            for op in self.open.values()
            if op.kind is CallKind.REFUND and op.status is OperationStatus.PENDING
        )
        assert now.amount_refund_pending == reserved


TestLife = Life.TestCase
