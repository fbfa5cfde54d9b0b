"""What Stripe's dashboard shows about a payment: the merchant's metadata and reference, and our own ids.

Stripe takes 50 pairs, keys of 40 characters without square brackets, and values of 500, none of them empty
(https://docs.stripe.com/metadata). Ours have the same limits, and our own pairs need room: they win.
"""

from payments.processors.base import Call
from payments.processors.stripe_outcomes import ATTEMPT_METADATA, CAPTURE_METADATA

#: Pairs that one of Stripe's objects can have.
LIMIT = 50
#: Keys that are ours: ids, the merchant's reference, and what a capture adds later.
RESERVED = frozenset({ATTEMPT_METADATA, CAPTURE_METADATA, "payment_id", "merchant_id", "reference"})


def metadata_for(call: Call) -> dict[str, str]:
    """Return the metadata of a payment's PaymentIntent.

    Of the merchant's pairs, those under a reserved key and those that Stripe cannot take are left out, and of the
    others the first in the order of their keys that fit: the same attempt is always sent with the same pairs.
    """
    own = {ATTEMPT_METADATA: call.attempt_id, "payment_id": call.payment_id, "merchant_id": call.merchant_id}
    if call.merchant_reference:
        own["reference"] = call.merchant_reference
    possible = {
        key: value
        for key, value in sorted(call.metadata.items())
        if key not in RESERVED and value and not {"[", "]"} & set(key)
    }
    room = LIMIT - len(RESERVED)
    return {**dict(list(possible.items())[:room]), **own}
