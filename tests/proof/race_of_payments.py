"""Who meets whom over a payment, and how it may end."""

from tests.proof.race import (
    Race,
    authorized,
    capture,
    create,
    decide,
    expired,
    nothing,
    paid,
    partly_captured,
    processor_events,
    race,
    refund,
    refunded,
    twins,
    void,
)
from tests.proof.stage import Stage

ILLEGAL, IN_PROGRESS, INVALID = "409 illegal_transition", "409 operation_in_progress", "422 validation_failed"
CAPTURED, CANCELED, REFUNDED = "succeeded 1000-0", "canceled 0-0", "succeeded 1000-1000"
PART = capture(amount=600, final=False)
MANUAL = Stage.authorize
THREE_D_SECURE = paid("tok_3ds")

PAYMENTS: dict[str, Race] = {
    "capture, capture": twins(MANUAL, capture(), f"200 | {ILLEGAL} | {CAPTURED}", f"200 | {IN_PROGRESS} | {CAPTURED}"),
    "part, part": race(
        MANUAL,
        f"200 | 200 | {CAPTURED}",
        f"200 | {IN_PROGRESS} | partially_captured 600-0",
        f"{IN_PROGRESS} | 200 | partially_captured 400-0",
        one=PART,
        two=capture(amount=400, final=False),
    ),
    "capture, void": race(
        MANUAL,
        *(f"200 | {refusal} | {CAPTURED}" for refusal in (ILLEGAL, IN_PROGRESS)),
        *(f"{refusal} | 200 | {CANCELED}" for refusal in (ILLEGAL, IN_PROGRESS)),
        one=capture(),
        two=void,
    ),
    "part, void": race(
        MANUAL,
        "200 | 200 | succeeded 600-0",
        f"200 | {IN_PROGRESS} | partially_captured 600-0",
        *(f"{refusal} | 200 | {CANCELED}" for refusal in (ILLEGAL, IN_PROGRESS)),
        one=PART,
        two=void,
    ),
    "void, void": twins(MANUAL, void, *(f"200 | {refusal} | {CANCELED}" for refusal in (ILLEGAL, IN_PROGRESS))),
    "capture, refund": race(
        MANUAL, f"200 | 201 | {REFUNDED}", f"200 | {ILLEGAL} | {CAPTURED}", one=capture(), two=refund()
    ),
    "rest, refund": race(
        partly_captured,
        f"200 | 201 | {REFUNDED}",
        "200 | 201 | succeeded 1000-600",
        one=capture(),
        two=refund(),
    ),
    "rest, void, refund": race(
        partly_captured,
        *(f"200 | {refusal} | 201 | succeeded 1000-600" for refusal in (ILLEGAL, IN_PROGRESS)),
        *(f"{refusal} | 200 | 201 | succeeded 600-600" for refusal in (ILLEGAL, IN_PROGRESS)),
        one=capture(),
        two=void,
        three=refund(amount=600),
    ),
    "refund, refund": twins(Stage.pay, refund(amount=600), f"201 | {INVALID} | succeeded 1000-600"),
    "refund, rest": race(
        Stage.pay,
        f"201 | 201 | {REFUNDED}",
        f"{ILLEGAL} | 201 | {REFUNDED}",
        one=refund(amount=600),
        two=refund(),
    ),
    "three refunds": race(
        Stage.pay,
        f"201 | 201 | {INVALID} | succeeded 1000-800",
        one=refund(amount=400),
        two=refund(amount=400),
        three=refund(amount=400),
        same=True,
    ),
    # A request that the worker has overtaken says what it knows: that the outcome is open.
    "capture, worker": race(MANUAL, f"200 | {CAPTURED}", f"202 | {CAPTURED}", one=capture(), two=Stage.work),
    "lost capture, worker": race(authorized("tok_capture_lost"), f"202 | {CAPTURED}", one=capture(), two=Stage.work),
    "refused capture, worker": race(
        authorized("tok_capture_declined"),
        "402 payment_failed | requires_capture 0-0",
        "202 | requires_capture 0-0",
        one=capture(),
        two=Stage.work,
    ),
    "void, worker": race(MANUAL, f"200 | {CANCELED}", f"202 | {CANCELED}", one=void, two=Stage.work),
    "refund, worker": race(Stage.pay, f"201 | {REFUNDED}", f"202 | {REFUNDED}", one=refund(), two=Stage.work),
    "lost refund, refund, worker": race(
        paid("tok_refund_lost"),
        f"202 | {INVALID} | succeeded 1000-600",
        f"{INVALID} | 202 | succeeded 1000-600",
        one=refund(amount=600),
        two=refund(amount=600),
        three=Stage.work,
    ),
    "create, worker": race(
        nothing, "201 | 1 succeeded", "202 | 1 succeeded", one=create("tok_visa"), two=Stage.work, after=Stage.payments
    ),
    "worker, worker": twins(paid("tok_lost_approved"), Stage.work_now, CAPTURED),
    # ---- one key ----
    "create twice": twins(
        nothing,
        create("tok_visa"),
        "201 | 201 replayed | 1 succeeded",
        "201 | 409 request_in_progress | 1 succeeded",
        after=Stage.payments,
    ),
    "402 twice": twins(
        nothing,
        create("tok_declined"),
        "402 payment_failed | 402 payment_failed replayed | 1 failed",
        "402 payment_failed | 409 request_in_progress | 1 failed",
        after=Stage.payments,
    ),
    "202 twice": twins(
        nothing,
        create("tok_lost_approved"),
        "202 | 202 replayed | 1 succeeded",
        "202 | 409 request_in_progress | 1 succeeded",
        after=Stage.payments,
    ),
    "refund twice": twins(
        Stage.pay,
        refund(key="same", amount=600),
        "201 | 201 replayed | succeeded 1000-600",
        "201 | 409 request_in_progress | succeeded 1000-600",
    ),
    "one key, two bodies": race(
        Stage.pay,
        "201 | 422 idempotency_mismatch | succeeded 1000-600",
        "422 idempotency_mismatch | 201 | succeeded 1000-500",
        one=refund(key="same", amount=600),
        two=refund(key="same", amount=500),
    ),
    # ---- the processor's own messages, and time ----
    "event, capture": race(MANUAL, f"200 | {CAPTURED}", f"202 | {CAPTURED}", one=capture(), two=processor_events),
    "event, void": race(MANUAL, f"200 | {CANCELED}", f"202 | {CANCELED}", one=void, two=processor_events),
    "event, refund": race(refunded, f"201 | {REFUNDED}", f"202 | {REFUNDED}", one=refund(), two=processor_events),
    "event, event": twins(refunded, processor_events, "succeeded 1000-300"),
    "expiry, capture": race(
        expired(MANUAL),
        f"200 | {CAPTURED}",
        f"{IN_PROGRESS} | {CANCELED}",
        one=capture(),
        two=Stage.void_expired,
    ),
    "expiry, part": race(
        expired(MANUAL),
        "200 | succeeded 600-0",
        "200 | partially_captured 600-0",
        f"{IN_PROGRESS} | {CANCELED}",
        one=PART,
        two=Stage.void_expired,
    ),
    "expiry, void": race(
        expired(MANUAL), f"200 | {CANCELED}", f"{IN_PROGRESS} | {CANCELED}", one=void, two=Stage.void_expired
    ),
    "expiry, refund": race(
        expired(partly_captured),
        "201 | succeeded 600-600",
        "201 | partially_captured 600-600",
        one=refund(),
        two=Stage.void_expired,
    ),
    "expiry, expiry": twins(expired(MANUAL), Stage.void_expired, CANCELED),
    # ---- 3-D Secure ----
    "click, click": twins(THREE_D_SECURE, decide("approve"), f"seen | seen | {CAPTURED}"),
    "approve, refuse": race(
        THREE_D_SECURE,
        f"seen | seen | {CAPTURED}",
        "seen | seen | failed 0-0",
        one=decide("approve"),
        two=decide("refuse"),
    ),
    "approve, void": race(
        THREE_D_SECURE,
        f"seen | {ILLEGAL} | {CAPTURED}",
        f"seen | 200 | {CANCELED}",
        one=decide("approve"),
        two=void,
    ),
    "refuse, void": race(
        THREE_D_SECURE,
        f"seen | {ILLEGAL} | failed 0-0",
        f"seen | 200 | {CANCELED}",
        one=decide("refuse"),
        two=void,
    ),
    "clicks, void": race(
        THREE_D_SECURE,
        f"seen | seen | {ILLEGAL} | {CAPTURED}",
        f"seen | seen | {ILLEGAL} | failed 0-0",
        f"seen | seen | 200 | {CANCELED}",
        one=decide("approve"),
        two=decide("refuse"),
        three=void,
    ),
    "approve, worker": race(THREE_D_SECURE, f"seen | {CAPTURED}", one=decide("approve"), two=Stage.work_now),
    "approve, expiry": race(
        expired(THREE_D_SECURE),
        f"seen | {CAPTURED}",
        f"seen | {CANCELED}",
        "seen | failed 0-0",
        one=decide("approve"),
        two=Stage.work_now,
    ),
    "void, expiry": race(
        expired(THREE_D_SECURE),
        f"200 | {CANCELED}",
        f"202 | {CANCELED}",
        f"{ILLEGAL} | {CANCELED}",
        one=void,
        two=Stage.work_now,
    ),
}
