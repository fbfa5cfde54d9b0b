"""Schemas of payments and refunds, as the OpenAPI document shows them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from payments.domain.ids import Prefix
from payments.domain.money import MAX_AMOUNT, currencies, is_currency
from payments.web.http import patterns
from payments.web.http.models import Parameters, RequestBody, Text
from payments.web.http.pagination import PageQuery, QueryTime, id_cursor

_Status = Literal[
    "processing", "requires_action", "requires_capture", "partially_captured", "succeeded", "failed", "canceled"
]


def _check_currency(code: str) -> str:
    if not is_currency(code):
        raise ValueError("Must be the ISO 4217 code of a currency in circulation, in upper case, such as EUR.")
    return code


def _check_return_url(url: str) -> str:
    if re.fullmatch(patterns.RETURN_URL, url) is None:
        raise ValueError("Must be an https:// URL with a host name and no user name, in the ASCII characters of URLs.")
    return url


Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, description="Minor units of the currency.", examples=[1099])]
Currency = Annotated[
    str,
    AfterValidator(_check_currency),
    Field(description="ISO 4217, in upper case.", examples=["EUR"], json_schema_extra={"enum": sorted(currencies())}),
]
_METADATA_KEY = {"minLength": 1, "maxLength": 40, "pattern": patterns.TEXT}
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=40)], Annotated[Text, Field(max_length=500)]],
    Field(
        max_length=50,
        description="Your own data: up to 50 pairs of strings.",
        examples=[{"order": "6735"}],
        # A pattern of keys would become "patternProperties", which allows other keys.
        json_schema_extra={"propertyNames": _METADATA_KEY},
    ),
]
PAYMENTS_CURSOR = id_cursor(patterns.identifier(Prefix.PAYMENT))
ReturnUrl = Annotated[
    str, Field(max_length=2048, json_schema_extra={"pattern": patterns.RETURN_URL}), AfterValidator(_check_return_url)
]


class CreatePayment(RequestBody):
    """The payment to create."""

    amount: Amount
    currency: Currency
    payment_method: str = Field(
        min_length=1,
        max_length=255,
        description="A token from the processor, never a card number.",
        examples=["tok_visa"],
    )
    capture_method: Literal["automatic", "manual"] = Field(
        default="automatic", description="`manual` only authorizes; capture within seven days."
    )
    reference: Text | None = Field(
        default=None, min_length=1, max_length=255, description="Your own reference, to find the payment by."
    )
    description: Text | None = Field(default=None, min_length=1, max_length=1000)
    metadata: Metadata = Field(default_factory=dict)
    return_url: ReturnUrl | None = Field(
        default=None, description="Where the customer returns to after 3-D Secure. `payment_id` is added to its query."
    )


class CapturePayment(RequestBody):
    """What to capture."""

    amount: Amount | None = Field(default=None, description="Minor units. Default: the whole capturable amount.")
    final: bool = Field(
        default=True, description="Whether to release the remainder. `false` keeps it for further captures."
    )


class VoidPayment(RequestBody):
    """An empty object."""


class CreateRefund(RequestBody):
    """What to refund."""

    amount: Amount | None = Field(default=None, description="Minor units. Default: the whole refundable amount.")
    reason: Text | None = Field(default=None, min_length=1, max_length=255)


class PaymentPath(Parameters):
    """Identifies a payment."""

    payment_id: str = Field(pattern=patterns.identifier(Prefix.PAYMENT))


class PaymentsQuery(PageQuery):
    """Which payments."""

    cursor: str | None = PAYMENTS_CURSOR.field()
    status: _Status | None = None
    reference: Text | None = Field(default=None, min_length=1, max_length=255)
    created_gte: QueryTime | None = Field(default=None, description="Created at or after this time, in Unix seconds.")
    created_lt: QueryTime | None = Field(default=None, description="Created before this time, in Unix seconds.")


class Failure(BaseModel):
    """Why an operation failed."""

    code: Literal["card_declined", "processor_error", "authorization_expired"]
    decline_code: str = Field(examples=["insufficient_funds"])
    advice: Literal["try_again_later", "use_another_method", "contact_issuer", "correct_details", "do_not_retry"]
    retryable: bool


class Redirect(BaseModel):
    """A page to redirect the customer to."""

    url: str


class NextAction(BaseModel):
    """What the customer has to do next."""

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
    """A payment. Amounts are in minor units of its currency."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAYMENT_EXAMPLE]})

    id: str = Field(examples=["pay_01jcx5v8g7f2k9w3q4r5s6t7v8"])
    object: Literal["payment"]
    status: _Status = Field(description="`processing` includes an outcome that is still unknown.")
    amount: int
    currency: str
    amount_authorized: int
    amount_capturable: int
    amount_captured: int
    amount_refunded: int
    amount_refund_pending: int = Field(description="Reserved by refunds in progress.")
    payment_method: str
    capture_method: Literal["automatic", "manual"]
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    return_url: str | None
    pending_operation: Literal["capture", "void"] | None = Field(
        description="The operation that is in progress or whose outcome is still unknown."
    )
    last_error: Failure | None = Field(
        description="Why the latest of its creation, captures and voids failed; null once another begins or succeeds."
    )
    next_action: NextAction | None = Field(description="Set while the status is `requires_action`.")
    created: int = Field(description="Unix seconds.")
    livemode: bool


class Refund(BaseModel):
    """A refund. `pending` includes an outcome that is still unknown."""

    id: str
    object: Literal["refund"]
    status: Literal["pending", "succeeded", "failed"]
    payment: str
    amount: int
    currency: str
    reason: str | None = Field(description="`external` if it was made in the processor's dashboard.")
    last_error: Failure | None
    created: int
    livemode: bool
