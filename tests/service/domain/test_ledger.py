"""Postings, balances and seals."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain import money
from payments.domain.ledger import (
    ACCOUNTS,
    DEBIT_NORMAL,
    GENESIS,
    IN_ANY_CURRENCY,
    Account,
    Posting,
    PostingKind,
    balance,
    capture_postings,
    refund_postings,
    refund_reversal_postings,
    seal_hash,
)
from tests.service.domain.samples import RATES

#: Debited and credited by each kind of posting.
PUBLISHED = {
    "capture": "processor_receivable merchant_payable",
    "fee": "merchant_payable platform_fees",
    "refund": "merchant_payable processor_receivable",
    "refund_reversal": "processor_receivable merchant_payable",
    "dispute": "disputes processor_receivable",
    "dispute_reversal": "processor_receivable disputes",
    "dispute_loss": "merchant_payable disputes",
    "dispute_loss_reversal": "disputes merchant_payable",
    "dispute_fee": "processor_fees processor_receivable",
    "dispute_fee_reversal": "processor_receivable processor_fees",
}


def test_each_kind_of_posting_has_the_published_accounts() -> None:
    assert {kind.value: " ".join(accounts) for kind, accounts in ACCOUNTS.items()} == PUBLISHED
    assert set(PostingKind) == set(ACCOUNTS)
    assert {"dispute_fee", "dispute_fee_reversal"} == IN_ANY_CURRENCY


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


def test_a_capture_takes_money_in_and_the_fee_from_the_merchant() -> None:
    assert capture_postings(captured_before=0, amount=1000, fee_basis_points=290) == (
        Posting(
            kind=PostingKind.CAPTURE,
            debit=Account.PROCESSOR_RECEIVABLE,
            credit=Account.MERCHANT_PAYABLE,
            amount=1000,
        ),
        Posting(kind=PostingKind.FEE, debit=Account.MERCHANT_PAYABLE, credit=Account.PLATFORM_FEES, amount=29),
    )


@pytest.mark.parametrize(("amount", "rate", "postings"), [(1000, 0, 1), (1, 100, 1), (1, 5000, 2)])
def test_no_fee_is_no_posting(amount: int, rate: int, postings: int) -> None:
    assert len(capture_postings(captured_before=0, amount=amount, fee_basis_points=rate)) == postings


def test_a_refund_gives_back_and_its_reversal_takes_again() -> None:
    payable, receivable = Account.MERCHANT_PAYABLE, Account.PROCESSOR_RECEIVABLE
    assert refund_postings(5) == (Posting(kind=PostingKind.REFUND, debit=payable, credit=receivable, amount=5),)
    assert refund_reversal_postings(5) == (
        Posting(kind=PostingKind.REFUND_REVERSAL, debit=receivable, credit=payable, amount=5),
    )


@pytest.mark.parametrize(("amount", "credit"), [(0, Account.CASH), (-1, Account.CASH), (1, Account.DISPUTES)])
def test_a_posting_must_move_an_amount(amount: int, credit: Account) -> None:
    with pytest.raises(ValueError, match=r"^A posting moves a positive amount between two accounts\.$"):
        Posting(kind=PostingKind.FEE, debit=Account.DISPUTES, credit=credit, amount=amount)
    assert Posting(kind=PostingKind.FEE, debit=Account.DISPUTES, credit=Account.CASH, amount=1).amount == 1


@pytest.mark.parametrize("account", Account)
def test_balances_are_on_the_normal_side(account: Account) -> None:
    assert {Account.PROCESSOR_RECEIVABLE, Account.CASH, Account.PROCESSOR_FEES, Account.DISPUTES} == DEBIT_NORMAL
    expected = 7 if account in DEBIT_NORMAL else -7
    assert balance(account, debits=10, credits=3) == expected


_ROWS = st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=4)


@given(_ROWS, _ROWS)
def test_different_rows_have_different_seals(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    assert (seal_hash(GENESIS, one) == seal_hash(GENESIS, other)) == (one == other)


def test_a_seal_continues_the_one_before() -> None:
    first = seal_hash(GENESIS, [("a",)])
    assert bytes(32) == GENESIS
    assert seal_hash(first, [("b",)]) != seal_hash(GENESIS, [("b",)])
    assert seal_hash(GENESIS, [("ab", "c")]) != seal_hash(GENESIS, [("a", "bc")])


def test_a_seal_is_computed_the_same_way_for_ever() -> None:
    fields = b"\0\0\0\2" + "é".encode() + b"\0\0\0\0" + b"\0\0\1\0" + b"x" * 256
    assert seal_hash(GENESIS, [("é", ""), ("x" * 256,)]) == hashlib.sha256(bytes(32) + fields).digest()
