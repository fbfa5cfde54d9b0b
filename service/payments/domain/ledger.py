"""Double-entry bookkeeping: a posting moves one amount between two accounts, so money is never created or lost."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from payments.domain.money import share


class Account(StrEnum):
    """The accounts of a merchant, per mode and currency."""

    #: Owed by the processor to the platform.
    PROCESSOR_RECEIVABLE = "processor_receivable"
    #: Owed by the platform to the merchant; may become negative.
    MERCHANT_PAYABLE = "merchant_payable"
    PLATFORM_FEES = "platform_fees"
    PROCESSOR_FEES = "processor_fees"
    CASH = "cash"
    DISPUTES = "disputes"
    SUSPENSE = "suspense"


#: Accounts with a debit balance (assets and expenses); all others have a credit balance.
DEBIT_NORMAL = frozenset({Account.PROCESSOR_RECEIVABLE, Account.PROCESSOR_FEES, Account.CASH, Account.DISPUTES})


class PostingKind(StrEnum):
    """Why money moves."""

    CAPTURE = "capture"
    FEE = "fee"
    REFUND = "refund"
    REFUND_REVERSAL = "refund_reversal"
    #: Funds withdrawn because of a dispute, and returned after it was won.
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    #: The part of a decided dispute that was not returned, and what was returned after that was posted.
    DISPUTE_LOSS = "dispute_loss"
    DISPUTE_LOSS_REVERSAL = "dispute_loss_reversal"
    DISPUTE_FEE = "dispute_fee"
    DISPUTE_FEE_REVERSAL = "dispute_fee_reversal"


#: The accounts (debit, credit) of each kind. Whatever else bears one of these kinds was forged.
ACCOUNTS: Mapping[PostingKind, tuple[Account, Account]] = {
    PostingKind.CAPTURE: (Account.PROCESSOR_RECEIVABLE, Account.MERCHANT_PAYABLE),
    PostingKind.FEE: (Account.MERCHANT_PAYABLE, Account.PLATFORM_FEES),
    PostingKind.REFUND: (Account.MERCHANT_PAYABLE, Account.PROCESSOR_RECEIVABLE),
    PostingKind.REFUND_REVERSAL: (Account.PROCESSOR_RECEIVABLE, Account.MERCHANT_PAYABLE),
    PostingKind.DISPUTE: (Account.DISPUTES, Account.PROCESSOR_RECEIVABLE),
    PostingKind.DISPUTE_REVERSAL: (Account.PROCESSOR_RECEIVABLE, Account.DISPUTES),
    PostingKind.DISPUTE_LOSS: (Account.MERCHANT_PAYABLE, Account.DISPUTES),
    PostingKind.DISPUTE_LOSS_REVERSAL: (Account.DISPUTES, Account.MERCHANT_PAYABLE),
    PostingKind.DISPUTE_FEE: (Account.PROCESSOR_FEES, Account.PROCESSOR_RECEIVABLE),
    PostingKind.DISPUTE_FEE_REVERSAL: (Account.PROCESSOR_RECEIVABLE, Account.PROCESSOR_FEES),
}
#: Posted in the currency of our account at the processor; all other kinds in the payment's.
IN_ANY_CURRENCY = frozenset({PostingKind.DISPUTE_FEE, PostingKind.DISPUTE_FEE_REVERSAL})


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A transfer to be posted: ``amount`` > 0 minor units, debited to ``debit`` and credited to ``credit``."""

    kind: PostingKind
    debit: Account
    credit: Account
    amount: int

    def __post_init__(self) -> None:
        if self.amount <= 0 or self.debit == self.credit:
            raise ValueError("A posting moves a positive amount between two accounts.")


def capture_postings(*, captured_before: int, amount: int, fee_basis_points: int) -> tuple[Posting, ...]:
    """Return the postings of a capture of ``amount``, after ``captured_before`` was captured (minor units).

    The fee is computed on the total captured, less the fees charged before: many small captures cost the same as one.
    """
    fee = share(captured_before + amount, fee_basis_points) - share(captured_before, fee_basis_points)
    capture = posting(PostingKind.CAPTURE, amount)
    return (capture, posting(PostingKind.FEE, fee)) if fee else (capture,)


def refund_postings(amount: int) -> tuple[Posting, ...]:
    """Return the postings of a refund. The fee is not returned."""
    return (posting(PostingKind.REFUND, amount),)


def refund_reversal_postings(amount: int) -> tuple[Posting, ...]:
    """Return the postings that reverse a refund which failed after it had succeeded."""
    return (posting(PostingKind.REFUND_REVERSAL, amount),)


def posting(kind: PostingKind, amount: int) -> Posting:
    """Return the posting of ``amount`` > 0 minor units between the accounts of ``kind``."""
    debit, credit = ACCOUNTS[kind]
    return Posting(kind=kind, debit=debit, credit=credit, amount=amount)


def balance(account: Account, *, debits: int, credits: int) -> int:  # noqa: A002 - the accounting term
    """Return the balance of ``account`` on its normal side, in minor units."""
    return debits - credits if account in DEBIT_NORMAL else credits - debits


#: The hash that the first seal builds on.
GENESIS = bytes(32)


def seal_hash(previous: bytes, rows: Iterable[tuple[str, ...]]) -> bytes:
    """Return the head of the chain after ``rows``: SHA-256 of the previous head and of each field with its length."""
    digest = hashlib.sha256(previous)
    for row in rows:
        for text in row:
            data = text.encode()
            digest.update(len(data).to_bytes(4, "big"))
            digest.update(data)
    return digest.digest()
