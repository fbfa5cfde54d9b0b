"""Stripe's objects as snapshots: a PaymentIntent with its refunds and disputes, whoever made them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe

from payments.domain.snapshots import Contradiction, DisputeSnapshot, PaymentSnapshot, Progress, RefundSnapshot
from payments.processors.circuit import CircuitBreaker
from payments.processors.inbound import RetrievalFailed
from payments.processors.stripe_amounts import UnitError, from_stripe
from payments.processors.stripe_api import Indeterminate, RequestRefused, StripeApi
from payments.processors.stripe_outcomes import ATTEMPT_METADATA, refund_result

_PROGRESS = {
    "requires_payment_method": Progress.OPEN,
    "requires_confirmation": Progress.OPEN,
    "requires_action": Progress.OPEN,
    "processing": Progress.OPEN,
    "requires_capture": Progress.AUTHORIZED,
    "succeeded": Progress.SUCCEEDED,
    "canceled": Progress.CANCELED,
}
_MISSING = "resource_missing"
_PAGE = 100


class StripeSnapshots(StripeApi):
    """Reads what happened to a payment at Stripe.

    With a circuit breaker of its own: reading is not urgent, and its failures, such as a rate limit after many events,
    must not stop payments.
    """

    def __init__(self, *, api_key: str, base_url: str) -> None:
        super().__init__(api_key=api_key, breaker=CircuitBreaker(), base_url=base_url)

    def retrieve_payment(self, references: Sequence[str], *, timeout: float) -> PaymentSnapshot | None:
        """Return the PaymentIntent that one of Stripe's objects belongs to, with its refunds and disputes.

        Raises:
            RetrievalFailed, Contradiction: See `SendsWebhooks.retrieve`.
        """
        deadline = datetime.now(UTC) + timedelta(seconds=timeout)
        try:
            intent_id = self._intent_of(references, deadline)
            return None if intent_id is None else self._snapshot(intent_id, deadline)
        except RequestRefused as refusal:
            if refusal.reason.code == _MISSING:
                return None
            raise RetrievalFailed(refusal.reason.describe()) from refusal
        except Indeterminate as error:
            raise RetrievalFailed(f"no response ({error})") from error
        except UnitError as error:
            raise Contradiction(str(error)) from error

    def _intent_of(self, references: Sequence[str], deadline: datetime) -> str | None:
        """Return the PaymentIntent among the objects, or the one that the first of them belongs to."""
        v1 = self._client.v1
        owners: dict[str, Callable[[str], stripe.Refund | stripe.Dispute | stripe.Charge]] = {
            "re": v1.refunds.retrieve,
            "pyr": v1.refunds.retrieve,
            "du": v1.disputes.retrieve,
            "dp": v1.disputes.retrieve,
            "ch": v1.charges.retrieve,
            "py": v1.charges.retrieve,
        }
        found = next((name for name in references if name.startswith("pi_")), None)
        for name in () if found else references:
            read = owners.get(name.partition("_")[0])
            if read is not None:
                owner = self._call(lambda: read(name), deadline).payment_intent  # noqa: B023 - called at once
                return str(owner) if owner else None
        return found

    def _snapshot(self, intent_id: str, deadline: datetime) -> PaymentSnapshot:
        # In this order, so that whatever a dispute or a refund depends on is read after it.
        disputes = tuple(_dispute(found) for found in self._disputes(intent_id, deadline))
        refunds = tuple(_refund(found) for found in self.list_refunds(intent_id, deadline=deadline))
        intent = self.retrieve(intent_id, deadline=deadline)
        progress = _PROGRESS.get(intent.status)
        if progress is None:
            raise Contradiction(f"{intent.id} has the unknown status {intent.status}")
        metadata = _metadata(intent)
        return PaymentSnapshot(
            reference=intent.id,
            livemode=intent.livemode,
            currency=intent.currency.upper(),
            progress=progress,
            amount_received=from_stripe(intent.amount_received, intent.currency),
            charge_reference=str(intent.latest_charge) if intent.latest_charge else None,
            # Only what carries an attempt of ours was made by us.
            payment_id=metadata.get("payment_id") if ATTEMPT_METADATA in metadata else None,
            merchant_id=metadata.get("merchant_id"),
            refunds=refunds[::-1],  # Stripe lists the newest first
            disputes=disputes[::-1],
        )

    def _disputes(self, intent_id: str, deadline: datetime) -> Iterator[stripe.Dispute]:
        params: stripe.params.DisputeListParams = {"payment_intent": intent_id, "limit": _PAGE}
        while True:
            page = self._call(lambda: self._client.v1.disputes.list(params), deadline)  # noqa: B023 - called at once
            yield from page.data
            if not page.has_more:
                return
            params = {"payment_intent": intent_id, "limit": _PAGE, "starting_after": page.data[-1].id}


def _metadata(owner: stripe.PaymentIntent | stripe.Refund) -> dict[str, str]:
    metadata: Any = owner.metadata  # Any: the SDK declares a dict, and returns an object
    return dict(metadata.to_dict()) if metadata is not None else {}


def _refund(refund: stripe.Refund) -> RefundSnapshot:
    return RefundSnapshot(
        reference=refund.id,
        amount=from_stripe(refund.amount, refund.currency),
        currency=refund.currency.upper(),
        result=refund_result(refund),
        attempt_id=_metadata(refund).get(ATTEMPT_METADATA),
    )


def _dispute(dispute: stripe.Dispute) -> DisputeSnapshot:
    movements = [_movement(dispute, found) for found in dispute.balance_transactions]
    fees = [(from_stripe(found.fee, found.currency), found.currency.upper()) for found in dispute.balance_transactions]
    currencies = {currency for fee, currency in fees if fee}
    if len(currencies) > 1:
        raise Contradiction(f"the fees of dispute {dispute.id} are in {' and '.join(sorted(currencies))}")
    due_by = dispute.evidence_details.due_by
    return DisputeSnapshot(
        reference=dispute.id,
        status=dispute.status,
        amount=from_stripe(dispute.amount, dispute.currency),
        currency=dispute.currency.upper(),
        reason=dispute.reason,
        respond_by=datetime.fromtimestamp(due_by, UTC) if due_by else None,
        amount_withdrawn=-sum(amount for amount in movements if amount < 0),
        amount_returned=None if _is_unknown_part(dispute) else sum(amount for amount in movements if amount > 0),
        fee=sum(fee for fee, _ in fees if fee > 0),
        fee_returned=-sum(fee for fee, _ in fees if fee < 0),
        fee_currency=next(iter(currencies), None),
    )


def _is_unknown_part(dispute: stripe.Dispute) -> bool:
    """Return whether a part was returned in another currency; Stripe calls a dispute lost if only a part is.

    Source: https://support.stripe.com/questions/dispute-for-full-charge-amount-after-a-partial-refund-was-issued
    """
    converted = any(found.amount > 0 and found.currency != dispute.currency for found in dispute.balance_transactions)
    return converted and dispute.status == "lost"


def _movement(dispute: stripe.Dispute, found: stripe.BalanceTransaction) -> int:
    """Return what a balance transaction moved, in minor units of the dispute's currency.

    An account that settles in another currency is debited at the rate of the day; our receivable is in the payment's
    currency, so there it is the disputed amount that was moved.
    """
    if found.currency == dispute.currency:
        return from_stripe(found.amount, found.currency)
    moved = from_stripe(dispute.amount, dispute.currency)
    return -moved if found.amount < 0 else moved
