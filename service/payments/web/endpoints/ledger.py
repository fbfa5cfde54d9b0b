"""Endpoints of the ledger: balances and entries."""

from typing import Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from payments.core.problems import ValidationFailed
from payments.domain.api_keys import Scope
from payments.domain.ids import Prefix
from payments.domain.ledger import Account, balance
from payments.repositories import ledger as repository
from payments.repositories.cursors import Position
from payments.repositories.ledger import AccountTotals, Transfer
from payments.services.presentation import timestamp
from payments.web.endpoints.schemas import PAYMENT_ID
from payments.web.http import patterns
from payments.web.http.auth import principal
from payments.web.http.context import context
from payments.web.http.guards import requires
from payments.web.http.pagination import XID, Cursor, Page, PageQuery, page_response
from payments.web.http.responses import json_response
from payments.web.openapi.responses import API_KEY, responses

_TAG = Tag(name="Ledger", description="Double-entry bookkeeping: where the money is.")
_CURSOR: Cursor[Transfer, Position] = Cursor(
    patterns=(XID, patterns.identifier(Prefix.TRANSFER)),
    parts=lambda transfer: (transfer.xid, transfer.id),
    position=lambda xid, transfer_id: Position(xid=xid, id=transfer_id),
)


class EntriesQuery(PageQuery):
    """Which ledger entries."""

    cursor: str | None = _CURSOR.field()
    payment: str | None = Field(
        default=None, pattern=patterns.identifier(Prefix.PAYMENT), description="Only entries of this payment."
    )


class Entry(BaseModel):
    """A transfer in the ledger: `amount` minor units from the credit to the debit account."""

    id: str = Field(examples=["tr_01jcx5v8m2g7w4k9r3t6y8b5qd"])
    object: Literal["ledger_entry"]
    debit_account: str = Field(examples=["processor_receivable"])
    credit_account: str = Field(examples=["merchant_payable"])
    amount: int = Field(description="Minor units of the currency.", examples=[1099])
    currency: str = Field(examples=["EUR"])
    kind: str = Field(description="Why it was booked.", examples=["capture"])
    payment: str = Field(description="ID of the payment.", examples=[PAYMENT_ID])
    created: int = Field(description="Unix seconds.", examples=[1795500000])


class Balance(BaseModel):
    """The balance of an account on its normal side, in minor units."""

    object: Literal["balance"]
    account: str = Field(examples=["merchant_payable"])
    currency: str = Field(examples=["EUR"])
    balance: int = Field(
        description="Debits less credits; the reverse for accounts that are credited.", examples=[1067]
    )
    debits: int = Field(description="Sum of all debits.", examples=[32])
    credits: int = Field(description="Sum of all credits.", examples=[1099])


api = APIBlueprint("ledger", __name__, url_prefix="/v1", abp_security=API_KEY, abp_tags=[_TAG])


@api.get("/balances", responses=responses({200: Page[Balance]}))
@requires(Scope.LEDGER_READ)
def list_balances() -> Response:
    """List all balances, in one snapshot: always the sum of the entries."""
    with context().database.tenant_transaction(principal()) as tx:
        totals = repository.totals(tx, principal())
    data = [_balance_json(total) for total in totals]
    return json_response({"object": "list", "data": data, "has_more": False, "next_cursor": None})


@api.get("/ledger/entries", responses=responses({200: Page[Entry]}, ValidationFailed))
@requires(Scope.LEDGER_READ)
def list_entries(query: EntriesQuery) -> Response:
    """List ledger entries, newest first, in commit order."""
    before = _CURSOR.read(query)
    with context().database.tenant_transaction(principal()) as tx:
        found = repository.list_for_tenant(
            tx, principal(), before=before, limit=query.limit + 1, payment_id=query.payment
        )
    return page_response(query, _CURSOR, found, _entry_json)


def _balance_json(total: AccountTotals) -> dict[str, object]:
    return {
        "object": "balance",
        "account": total.account,
        "currency": total.currency,
        "balance": balance(Account(total.account), debits=total.debits, credits=total.credits),
        "debits": total.debits,
        "credits": total.credits,
    }


def _entry_json(transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "object": "ledger_entry",
        "debit_account": transfer.debit_account,
        "credit_account": transfer.credit_account,
        "amount": transfer.amount,
        "currency": transfer.currency,
        "kind": transfer.kind,
        "payment": transfer.payment_id,
        "created": timestamp(transfer.created_at),
    }
