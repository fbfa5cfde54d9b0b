"""The merchant's reference, description and metadata reach Stripe, within its limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.outcomes import Outcome
from payments.processors.base import CallKind
from payments.processors.stripe import StripeProcessor
from payments.processors.stripe_metadata import LIMIT, RESERVED, metadata_for
from tests.service.processors.stripe_calls import changed, new_call, prepared
from tests.service.processors.stripe_rules import merge_metadata
from tests.service.processors.stripe_standin import StripeStandin


def test_everything_reaches_stripe(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(merchant_reference="order-6735", description="Two books", metadata={"order": "6735", "aisle": "7"})
    intent = standin.intents[str(processor.prepare(call).reference)]
    assert intent["description"] == "Two books"
    assert intent["metadata"] == {
        "order": "6735",
        "aisle": "7",
        "reference": "order-6735",
        "payment_id": call.payment_id,
        "merchant_id": "mer_1",
        "attempt_id": call.attempt_id,
    }


def test_at_the_limit_our_own_keys_win(processor: StripeProcessor, standin: StripeStandin) -> None:
    metadata = {f"key-{number:02}": "x" * 500 for number in range(50)}
    call = prepared(processor, merchant_reference="order", metadata=metadata, final=False)
    assert processor.authorize(call).outcome is Outcome.APPROVED
    capture = new_call(CallKind.CAPTURE, charge_reference=call.charge_reference)
    assert processor.capture(capture).outcome is Outcome.APPROVED, "a capture adds one more"
    sent = standin.intents[str(call.charge_reference)]["metadata"]
    assert len(sent) == LIMIT
    assert sent["attempt_id"] == call.attempt_id
    assert [key for key in metadata if key in sent] == [f"key-{number:02}" for number in range(45)]


@pytest.mark.parametrize("metadata", [{"attempt_id": "forged"}, {"a[b]": "1"}, {"empty": ""}, {"payment_id": "pay_x"}])
def test_impossible_pairs_are_left_out(
    processor: StripeProcessor, standin: StripeStandin, metadata: dict[str, str]
) -> None:
    call = new_call(metadata={**metadata, "order": "6735"})
    sent = standin.intents[str(processor.prepare(call).reference)]["metadata"]
    assert sent == {
        "order": "6735",
        "attempt_id": call.attempt_id,
        "payment_id": call.payment_id,
        "merchant_id": "mer_1",
    }


@given(
    st.dictionaries(st.text(min_size=1, max_size=40), st.text(max_size=500), max_size=50),
    st.none() | st.text(min_size=1, max_size=255),
)
def test_whatever_the_api_takes_stripe_takes(metadata: dict[str, str], reference: str | None) -> None:
    call = new_call(metadata=metadata, merchant_reference=reference)
    sent = metadata_for(call)
    assert len(merge_metadata(merge_metadata({}, sent), {"capture_attempt_id": "att_2"})) <= LIMIT
    assert sent["attempt_id"] == call.attempt_id
    assert {**metadata, **{key: sent[key] for key in RESERVED & sent.keys()}}.items() >= sent.items()
    shuffled = changed(call, metadata=dict(reversed(metadata.items())))
    assert metadata_for(shuffled) == sent, "the same attempt is always sent with the same pairs"
