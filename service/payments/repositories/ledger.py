"""The ledger: transfers and balances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from payments.domain.ledger import Posting
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.cursors import STABLE, Position
from payments.repositories.scope import scope


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A posted transfer. ``amount`` is in minor units of ``currency``."""

    id: str
    xid: str
    currency: str
    debit_account: str
    credit_account: str
    amount: int
    kind: str
    payment_id: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AccountTotals:
    """Debits and credits of one account, in minor units of ``currency``."""

    currency: str
    account: str
    debits: int
    credits: int


_COLUMNS = "id, xid::text AS xid, currency, debit_account, credit_account, amount, kind, payment_id, created_at"
#: Found through the payment's attempts: the transfers of each are in an index, as it is booked once.
_OF_PAYMENT = """
    AND payment_id = %(payment_id)s AND attempt_id = ANY(ARRAY(
        SELECT id FROM attempts
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND payment_id = %(payment_id)s))
"""
_INSERT = (
    "INSERT INTO ledger_transfers"
    " (id, merchant_id, livemode, currency, debit_account, credit_account, amount, kind, payment_id, attempt_id)"
)
#: The values of one transfer; what differs among those of one statement is numbered.
_ROW = (
    "(%(id{number})s, %(merchant_id)s, %(livemode)s, %(currency{number})s, %(debit{number})s, %(credit{number})s,"
    " %(amount{number})s, %(kind{number})s, %(payment_id)s, %(attempt_id)s)"
)


@dataclass(frozen=True, kw_only=True)
class NewTransfer:
    """A transfer to be posted."""

    id: str
    #: Of the posting's amount.
    currency: str
    posting: Posting


def insert(
    tx: Connection, tenant: TenantScope, transfers: Sequence[NewTransfer], *, payment_id: str, attempt_id: str
) -> None:
    """Post the transfers that an attempt's outcome causes, together: each statement prepares all CHECKs once."""
    if not transfers:
        return
    parameters = scope(tenant, payment_id=payment_id, attempt_id=attempt_id)
    rows = []
    for number, transfer in enumerate(transfers):
        own = {"id": transfer.id, "currency": transfer.currency, **vars(transfer.posting)}
        parameters |= {f"{name}{number}": value for name, value in own.items()}
        rows.append(_ROW.format(number=number))
    tx.queue(f"{_INSERT} VALUES {', '.join(rows)}", parameters)


def list_for_tenant(
    tx: Connection, tenant: TenantScope, *, before: Position | None, limit: int, payment_id: str | None = None
) -> Sequence[Transfer]:
    """Return up to ``limit`` transfers of ``tenant``, newest first by (xid, id), from the one after ``before``.

    Transfers that a running transaction could still precede are left out.
    """
    rows = tx.execute(
        f"""
        SELECT {_COLUMNS} FROM ledger_transfers
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND {STABLE}
            {_OF_PAYMENT if payment_id else ""}
            {"AND (xid, id) < (%(xid)s::xid8, %(id)s)" if before else ""}
        ORDER BY ledger_transfers.xid DESC, id DESC LIMIT %(limit)s
        """,  # noqa: S608 - column names only
        scope(tenant, payment_id=payment_id, xid=before and before.xid, id=before and before.id, limit=limit),
    )
    return [Transfer(**row) for row in rows]


def totals(tx: Connection, tenant: TenantScope) -> Sequence[AccountTotals]:
    """Return the totals of every account of ``tenant``: roll-up plus tail in one statement, hence in one snapshot."""
    rows = tx.execute(
        """
        WITH position AS (SELECT xid, id FROM cursors WHERE name = 'ledger_rollup'),
        tail AS (
            SELECT currency, debit_account, credit_account, amount FROM ledger_transfers, position
            WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s
                AND (ledger_transfers.xid, ledger_transfers.id) > (position.xid, position.id))
        SELECT currency, account, sum(debits)::numeric AS debits, sum(credits)::numeric AS credits FROM (
            SELECT currency, account, debits, credits FROM ledger_rollups
            WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s
            UNION ALL SELECT currency, debit_account, amount, 0 FROM tail
            UNION ALL SELECT currency, credit_account, 0, amount FROM tail) AS parts
        GROUP BY currency, account ORDER BY currency, account
        """,
        scope(tenant),
    )
    return [AccountTotals(**{**row, "debits": int(row["debits"]), "credits": int(row["credits"])}) for row in rows]
