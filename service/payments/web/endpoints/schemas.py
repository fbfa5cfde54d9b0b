"""Requests and objects of payments, refunds, events and ledger, as the OpenAPI document shows them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from payments.domain.ids import Prefix
from payments.domain.money import MAX_AMOUNT, is_currency
from payments.web.http import patterns
from payments.web.http.pagination import PageQuery, QueryNumber
from payments.web.openapi.api import QueryModel, Strict

_STATUS = Literal[
    "processing", "requires_action", "requires_capture", "partially_captured", "succeeded", "failed", "canceled"
]


def _known_currency(code: str) -> str:
    if not is_currency(code):
        raise ValueError("Send the ISO 4217 code of money that can be paid with, in upper case, such as EUR.")
    return code


def _is_return_url(url: str) -> str:
    if re.fullmatch(patterns.RETURN_URL, url) is None:
        raise ValueError("Send an https:// URL with a host name, in the ASCII characters of URLs, without a user name.")
    return url


Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, description="Minor units of the currency.", examples=[1099])]
Currency = Annotated[str, AfterValidator(_known_currency), Field(description="ISO 4217, upper case.", examples=["EUR"])]
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=40)], Annotated[str, Field(max_length=500)]],
    Field(max_length=50, description="Yours: up to 50 pairs of text.", examples=[{"order": "6735"}]),
]
ReturnUrl = Annotated[
    str, Field(max_length=2048, json_schema_extra={"pattern": patterns.RETURN_URL}), AfterValidator(_is_return_url)
]


class CreatePayment(Strict):
    """A payment to be made."""

    amount: Amount
    currency: Currency
    payment_method: str = Field(
        min_length=1,
        max_length=255,
        description="A token of the processor; never a card number.",
        examples=["tok_visa"],
    )
    capture_method: Literal["automatic", "manual"] = Field(
        default="automatic", description="`manual` authorizes only; capture within seven days."
    )
    reference: str | None = Field(default=None, min_length=1, max_length=255, description="Yours, for finding it.")
    description: str | None = Field(default=None, min_length=1, max_length=1000)
    metadata: Metadata = Field(default_factory=dict)
    return_url: ReturnUrl | None = Field(default=None, description="Where the customer comes back to after 3-D Secure.")


class CapturePayment(Strict):
    """What to capture."""

    amount: Amount | None = Field(default=None, description="Minor units; all that is left if not given.")
    final: bool = Field(default=True, description="Release the rest. `false` leaves it for further captures.")


class VoidPayment(Strict):
    """An empty object."""


class CreateRefund(Strict):
    """What to give back."""

    amount: Amount | None = Field(default=None, description="Minor units; all that is left if not given.")
    reason: str | None = Field(default=None, min_length=1, max_length=255)


class PaymentPath(QueryModel):
    """Names a payment."""

    payment_id: str = Field(pattern=patterns.identifier(Prefix.PAYMENT))


class RefundPath(QueryModel):
    """Names a refund."""

    refund_id: str = Field(pattern=patterns.identifier(Prefix.REFUND))


class EventPath(QueryModel):
    """Names an event."""

    event_id: str = Field(pattern=patterns.identifier(Prefix.EVENT))


class PaymentsQuery(PageQuery):
    """Which payments."""

    status: _STATUS | None = None
    reference: str | None = Field(default=None, min_length=1, max_length=255)
    created_gte: QueryNumber | None = Field(
        default=None, ge=0, le=10**11, description="IssuedKey at or after, Unix seconds."
    )
    created_lt: QueryNumber | None = Field(default=None, ge=0, le=10**11, description="IssuedKey before, Unix seconds.")


class EntriesQuery(PageQuery):
    """Which ledger entries."""

    payment: str | None = Field(
        default=None, pattern=patterns.identifier(Prefix.PAYMENT), description="Only those of this payment."
    )


class Failure(BaseModel):
    """Why something failed."""

    code: Literal["card_declined", "processor_error", "authorization_expired"]
    decline_code: str = Field(examples=["insufficient_funds"])
    advice: Literal["try_again_later", "use_another_method", "contact_issuer", "correct_details", "do_not_retry"]
    retryable: bool


class Redirect(BaseModel):
    """A page to send the customer to."""

    url: str


class NextAction(BaseModel):
    """What the customer has to do."""

    type: Literal["redirect_to_url"]
    redirect_to_url: Redirect


_PAYMENT_EXAMPLE: dict[str, Any] = {
    "id": "pay_01jcx5v8g7f2k9w3q4r5s6t7v8",
    "object": "payment",
    "status": "succeeded",
    "amount": 1099,
    "currency": "EUR",
    "amount_authorized": 1099,
    "amount_capturable": 0,
    "amount_captured": 1099,
    "amount_refunded": 0,
    "amount_refund_pending": 0,
    "payment_method": "tok_visa",
    "capture_method": "automatic",
    "reference": "order-6735",
    "description": None,
    "metadata": {"order": "6735"},
    "return_url": None,
    "pending_operation": None,
    "last_error": None,
    "next_action": None,
    "created": 1795500000,
    "livemode": False,
}


class Payment(BaseModel):
    """A payment. Amounts are minor units of its currency."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAYMENT_EXAMPLE]})

    id: str = Field(examples=["pay_01jcx5v8g7f2k9w3q4r5s6t7v8"])
    object: Literal["payment"]
    status: _STATUS = Field(description="`processing` includes that the outcome is not known yet.")
    amount: int
    currency: str
    amount_authorized: int
    amount_capturable: int
    amount_captured: int
    amount_refunded: int
    amount_refund_pending: int = Field(description="Reserved by refunds in flight.")
    payment_method: str
    capture_method: Literal["automatic", "manual"]
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    return_url: str | None
    pending_operation: Literal["capture", "void"] | None = Field(description="In flight, or its outcome not known yet.")
    last_error: Failure | None
    next_action: NextAction | None
    created: int = Field(description="Unix seconds.")
    livemode: bool


class Refund(BaseModel):
    """A refund. `pending` includes that the outcome is not known yet."""

    id: str
    object: Literal["refund"]
    status: Literal["pending", "succeeded", "failed"]
    payment: str
    amount: int
    currency: str
    reason: str | None
    last_error: Failure | None
    created: int
    livemode: bool


class EventData(BaseModel):
    """What an event is about, as it was then."""

    object: dict[str, Any]


class Event(BaseModel):
    """A change, as it is listed and delivered to webhook endpoints."""

    id: str
    object: Literal["event"]
    type: str = Field(examples=["payment.succeeded"])
    api_version: str
    created: int
    livemode: bool
    payment: str
    sequence: int = Field(description="1, 2, 3... within the payment: tells the order, however events arrive.")
    data: EventData


class Entry(BaseModel):
    """A transfer of the ledger: `amount` minor units from the credit to the debit account."""

    id: str
    object: Literal["ledger_entry"]
    debit_account: str
    credit_account: str
    amount: int
    currency: str
    kind: str
    payment: str
    created: int


class Balance(BaseModel):
    """One account's balance, on its normal side, in minor units."""

    object: Literal["balance"]
    account: str
    currency: str
    balance: int
    debits: int
    credits: int


class BalanceList(BaseModel):
    """All balances, in one snapshot."""

    object: Literal["list"]
    data: list[Balance]
    has_more: bool
    next_cursor: str | None


class PaymentList(BaseModel):
    """A page of payments, newest first."""

    object: Literal["list"]
    data: list[Payment]
    has_more: bool
    next_cursor: str | None


class RefundList(BaseModel):
    """A page of refunds, newest first."""

    object: Literal["list"]
    data: list[Refund]
    has_more: bool
    next_cursor: str | None


class EventList(BaseModel):
    """A page of events, newest first."""

    object: Literal["list"]
    data: list[Event]
    has_more: bool
    next_cursor: str | None


class EntryList(BaseModel):
    """A page of ledger entries, newest first."""

    object: Literal["list"]
    data: list[Entry]
    has_more: bool
    next_cursor: str | None
