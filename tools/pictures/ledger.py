"""The accounts of the ledger and the transfers between them, from the tables in `domain/ledger.py`."""

from collections.abc import Mapping, Sequence

from payments.domain.ledger import ACCOUNTS, DEBIT_NORMAL, Account
from tools.pictures.svg import Box, Canvas, Point, Style

_A = Account


def _account(x: float, y: float) -> Box:
    return Box(x=x, y=y, width=210, height=58)


_PLACES: Mapping[Account, Box] = {
    _A.PROCESSOR_FEES: _account(100, 92),
    _A.PLATFORM_FEES: _account(650, 92),
    _A.PROCESSOR_RECEIVABLE: _account(100, 236),
    _A.MERCHANT_PAYABLE: _account(650, 236),
    _A.DISPUTES: _account(375, 384),
    _A.CASH: _account(24, 470),
    _A.SUSPENSE: _account(726, 470),
}
#: The way of an arrow from the debited account to the credited one, and where its label begins or ends.
_WAYS: Mapping[tuple[Account, Account], tuple[Sequence[Point], Point, str]] = {
    (_A.PROCESSOR_RECEIVABLE, _A.MERCHANT_PAYABLE): (((310, 254), (650, 254)), (480, 247), "middle"),
    (_A.MERCHANT_PAYABLE, _A.PROCESSOR_RECEIVABLE): (((650, 278), (310, 278)), (480, 296), "middle"),
    (_A.MERCHANT_PAYABLE, _A.PLATFORM_FEES): (((755, 236), (755, 150)), (765, 197), "start"),
    (_A.PROCESSOR_FEES, _A.PROCESSOR_RECEIVABLE): (((175, 150), (175, 236)), (165, 197), "end"),
    (_A.PROCESSOR_RECEIVABLE, _A.PROCESSOR_FEES): (((235, 236), (235, 150)), (245, 197), "start"),
    (_A.DISPUTES, _A.PROCESSOR_RECEIVABLE): (((375, 426), (150, 426), (150, 294)), (160, 444), "start"),
    (_A.PROCESSOR_RECEIVABLE, _A.DISPUTES): (((260, 294), (260, 400), (375, 400)), (270, 350), "start"),
    (_A.MERCHANT_PAYABLE, _A.DISPUTES): (((700, 294), (700, 400), (585, 400)), (690, 350), "end"),
    (_A.DISPUTES, _A.MERCHANT_PAYABLE): (((585, 426), (810, 426), (810, 294)), (800, 444), "end"),
}


def ledger() -> str:
    """Return the accounts of a merchant and every kind of transfer."""
    canvas = Canvas(
        "Ledger: the accounts of a merchant, per mode and currency",
        "Each arrow is a kind of transfer, from the account that it debits to the account that it credits.",
        width=960,
        height=552,
    )
    canvas.text(
        24, 58, "Arrow: a kind of transfer, from the account it debits to the account it credits.", style="muted"
    )
    kinds: dict[tuple[Account, Account], list[str]] = {}
    for kind, pair in ACCOUNTS.items():
        kinds.setdefault(pair, []).append(kind)
    for pair, names in kinds.items():
        way, (x, y), anchor = _WAYS[pair]
        canvas.arrow(*way)
        canvas.text(x, y, ", ".join(names), size=12, anchor=anchor, mono=True, style="on")
    used = {account for pair in kinds for account in pair}
    for account in Account:
        debit = account in DEBIT_NORMAL
        lines = (
            account.value,
            f"{'debit' if debit else 'credit'} balance" + ("" if account in used else "; unused"),
        )
        canvas.box(_PLACES[account], Style.BLUE if debit else Style.AMBER, lines, mono=True, dashed=account not in used)
    return canvas.render()
