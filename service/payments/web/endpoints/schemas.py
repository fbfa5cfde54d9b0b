"""Schemas of payments and refunds, as the OpenAPI document shows them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from payments.domain.ids import Prefix
from payments.domain.money import MAX_AMOUNT, currencies, is_currency
from payments.web.http import patterns
from payments.web.http.models import Parameters, RequestBody, Text
from payments.web.http.pagination import PageQuery, QueryTime, id_cursor

#: Identifiers in examples.
PAYMENT_ID = "pay_01jcx5v8g7f2k9w3q4r5s6t7v8"
REFUND_ID = "re_01jcx62m4na8e0rj5cqy7t9wkb"
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
        description="A token from the processor, never a card number. In test mode, a [test token](#test-tokens).",
        examples=["tok_visa"],
    )
    capture_method: Literal["automatic", "manual"] = Field(
        default="automatic", description="`manual` only authorizes; capture within seven days."
    )
    reference: Text | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Your own reference, to find the payment by.",
        examples=["order-6735"],
    )
    description: Text | None = Field(
        default=None, min_length=1, max_length=1000, description="What the customer pays for."
    )
    metadata: Metadata = Field(default_factory=dict)
    return_url: ReturnUrl | None = Field(
        default=None, description="Where the customer returns to after 3-D Secure. `payment_id` is added to its query."
    )


class CapturePayment(RequestBody):
    """What to capture."""

    amount: Amount | None = Field(
        default=None, description="Minor units. Default: the whole capturable amount.", examples=[1099]
    )
    final: bool = Field(
        default=True, description="Whether to release the remainder. `false` keeps it for further captures."
    )


class VoidPayment(RequestBody):
    """An empty object."""


class CreateRefund(RequestBody):
    """What to refund."""

    amount: Amount | None = Field(
        default=None, description="Minor units. Default: the whole refundable amount.", examples=[500]
    )
    reason: Text | None = Field(
        default=None, min_length=1, max_length=255, description="Why, in your own words.", examples=["returned"]
    )


class PaymentPath(Parameters):
    """Identifies a payment."""

    payment_id: str = Field(
        pattern=patterns.identifier(Prefix.PAYMENT),
        description="ID of the payment.",
        json_schema_extra={"example": PAYMENT_ID},
    )


class PaymentsQuery(PageQuery):
    """Which payments."""

    cursor: str | None = PAYMENTS_CURSOR.field()
    status: _Status | None = Field(default=None, description="Only payments with this status.")
    reference: Text | None = Field(
        default=None, min_length=1, max_length=255, description="Only payments with this reference."
    )
    created_gte: QueryTime | None = Field(default=None, description="Created at or after this time, in Unix seconds.")
    created_lt: QueryTime | None = Field(default=None, description="Created before this time, in Unix seconds.")


class Failure(BaseModel):
    """Why an operation failed."""

    code: Literal["card_declined", "processor_error", "authorization_expired"] = Field(
        description="The kind of failure."
    )
    decline_code: str = Field(
        description="The reason, as the processor or issuer gave it.", examples=["insufficient_funds"]
    )
    advice: Literal["try_again_later", "use_another_method", "contact_issuer", "correct_details", "do_not_retry"] = (
        Field(description="What to do about it.")
    )
    retryable: bool = Field(description="Whether another try can succeed.")


class Redirect(BaseModel):
    """A page to redirect the customer to."""

    url: str


class NextAction(BaseModel):
    """What the customer has to do next."""

    type: Literal["redirect_to_url"]
    redirect_to_url: Redirect


#: The payment in examples.
PAYMENT_EXAMPLE: dict[str, Any] = {
    "id": PAYMENT_ID,
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

    model_config = ConfigDict(json_schema_extra={"examples": [PAYMENT_EXAMPLE]})

    id: str
    object: Literal["payment"]
    status: _Status = Field(description="`processing` includes an outcome that is still unknown.")
    amount: int = Field(description="What you asked for.")
    currency: str = Field(description="ISO 4217, in upper case.")
    amount_authorized: int = Field(description="What the issuer has authorized.")
    amount_capturable: int = Field(description="What can still be captured.")
    amount_captured: int = Field(description="What has been captured.")
    amount_refunded: int = Field(description="What has been refunded.")
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

    id: str = Field(examples=[REFUND_ID])
    object: Literal["refund"]
    status: Literal["pending", "succeeded", "failed"] = Field(examples=["succeeded"])
    payment: str = Field(description="ID of the payment.", examples=[PAYMENT_ID])
    amount: int = Field(description="Minor units of the currency.", examples=[500])
    currency: str = Field(examples=["EUR"])
    reason: str | None = Field(
        description="`external` if it was made in the processor's dashboard.", examples=["returned"]
    )
    last_error: Failure | None = Field(description="Why it failed.", examples=[None])
    created: int = Field(description="Unix seconds.", examples=[1795500060])
    livemode: bool
