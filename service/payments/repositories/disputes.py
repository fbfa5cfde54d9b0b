"""Disputes. The caller has locked their payment."""

from collections.abc import Sequence
from dataclasses import fields

from payments.domain.disputes import Dispute, DisputeStatus
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

_NAMES = [field.name for field in fields(Dispute)]
_COLUMNS = ", ".join(_NAMES)


def of_payment(tx: Connection, tenant: TenantScope, payment_id: str) -> Sequence[Dispute]:
    """Return the disputes of a payment, oldest first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM disputes WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s"  # noqa: S608 - column names only
        " AND payment_id = %(payment_id)s ORDER BY id",
        scope(tenant, payment_id=payment_id),
    )
    return [Dispute(**{**row, "status": DisputeStatus(row["status"])}) for row in rows]


def save(tx: Connection, dispute: Dispute) -> None:
    """Store a new dispute, or what a look at a known one changed."""
    tx.execute(
        f"""
        INSERT INTO disputes ({_COLUMNS}) VALUES ({", ".join(f"%({name})s" for name in _NAMES)})
        ON CONFLICT (merchant_id, livemode, id) DO UPDATE SET status = EXCLUDED.status, amount = EXCLUDED.amount,
            reason = EXCLUDED.reason, respond_by = EXCLUDED.respond_by, amount_withdrawn = EXCLUDED.amount_withdrawn,
            amount_returned = EXCLUDED.amount_returned, fee = EXCLUDED.fee, fee_returned = EXCLUDED.fee_returned,
            fee_currency = EXCLUDED.fee_currency, updated_at = now()
        """,  # noqa: S608 - column names only
        vars(dispute),
    )
