"""Double entry: every posting moves one amount from one account to another, so that nothing appears or vanishes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from payments.domain.money import share


class Account(StrEnum):
    """Accounts of a merchant, per mode and currency."""

    #: What the processor owes the platform.
    PROCESSOR_RECEIVABLE = "processor_receivable"
    #: What the platform owes the merchant; may go negative.
    MERCHANT_PAYABLE = "merchant_payable"
    PLATFORM_FEES = "platform_fees"
    PROCESSOR_FEES = "processor_fees"
    CASH = "cash"
    DISPUTES = "disputes"
    SUSPENSE = "suspense"


#: Accounts whose balance is debits less credits (assets and expenses); the others' is credits less debits.
DEBIT_NORMAL = frozenset({Account.PROCESSOR_RECEIVABLE, Account.PROCESSOR_FEES, Account.CASH, Account.DISPUTES})


class PostingKind(StrEnum):
    """Why money moves."""

    CAPTURE = "capture"
    FEE = "fee"
    REFUND = "refund"
    REFUND_REVERSAL = "refund_reversal"


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A transfer to be booked: ``amount`` > 0 minor units from ``credit`` to ``debit``."""

    kind: PostingKind
    debit: Account
    credit: Account
    amount: int

    def __post_init__(self) -> None:
        if self.amount <= 0 or self.debit == self.credit:
            raise ValueError("A posting moves a positive amount between two accounts.")


def capture_postings(*, captured_before: int, amount: int, fee_basis_points: int) -> tuple[Posting, ...]:
    """What capturing ``amount`` books, after ``captured_before`` was captured.

    The fee is the share of the total less what was taken before, so that many small captures cost what one large does.
    """
    fee = share(captured_before + amount, fee_basis_points) - share(captured_before, fee_basis_points)
    taken = Posting(
        kind=PostingKind.CAPTURE, debit=Account.PROCESSOR_RECEIVABLE, credit=Account.MERCHANT_PAYABLE, amount=amount
    )
    if fee == 0:
        return (taken,)
    return (
        taken,
        Posting(kind=PostingKind.FEE, debit=Account.MERCHANT_PAYABLE, credit=Account.PLATFORM_FEES, amount=fee),
    )


def refund_postings(amount: int) -> tuple[Posting, ...]:
    """What a refund books. The fee stays taken."""
    return (
        Posting(
            kind=PostingKind.REFUND, debit=Account.MERCHANT_PAYABLE, credit=Account.PROCESSOR_RECEIVABLE, amount=amount
        ),
    )


def refund_reversal_postings(amount: int) -> tuple[Posting, ...]:
    """What books a refund back that failed after it had succeeded."""
    return (
        Posting(
            kind=PostingKind.REFUND_REVERSAL,
            debit=Account.PROCESSOR_RECEIVABLE,
            credit=Account.MERCHANT_PAYABLE,
            amount=amount,
        ),
    )


def balance(account: Account, *, debits: int, credits: int) -> int:  # noqa: A002  # the accountant's word
    """The balance of ``account`` on its normal side, in minor units."""
    return debits - credits if account in DEBIT_NORMAL else credits - debits


#: What the first seal continues.
GENESIS = bytes(32)


def seal_hash(previous: bytes, rows: Iterable[tuple[str, ...]]) -> bytes:
    """The head of the chain after ``rows``: SHA-256 over the previous head and every field, each with its length."""
    digest = hashlib.sha256(previous)
    for row in rows:
        for text in row:
            data = text.encode()
            digest.update(len(data).to_bytes(4, "big"))
            digest.update(data)
    return digest.digest()
