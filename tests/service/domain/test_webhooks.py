"""Outbound webhooks by Standard Webhooks: signatures and the retry schedule."""

import base64
import random
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from payments.domain import webhooks


# ---- signatures ----------------------------------------
def test_a_secret_is_256_random_bits_in_base_64() -> None:
    secrets = {webhooks.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


@given(st.binary(max_size=200))
def test_the_reference_library_accepts_the_signature(body: bytes) -> None:
    secret = webhooks.new_secret()
    text = b'"' + body.hex().encode() + b'"'
    now = int(time.time())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": webhooks.sign([secret], message_id="evt_1", timestamp=now, body=text),
    }
    Webhook(secret).verify(text, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(text + b"x", headers)


def test_during_a_rotation_both_secrets_verify() -> None:
    old, new = webhooks.new_secret(), webhooks.new_secret()
    now = int(time.time())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": webhooks.sign([new, old], message_id="evt_1", timestamp=now, body=b"{}"),
    }
    for secret in (old, new):
        Webhook(secret).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(b"{}", headers)


def test_the_headers_of_a_delivery_are_those_of_the_specification() -> None:
    """The secret, message and signature are the example of its reference libraries."""
    headers = webhooks.signed_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1_614_265_330,
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "Content-Type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["whsec_!", "whsec_YWJj!ZGVm", "whsec_YWJ", "whsec_YWJj\n"])
def test_a_malformed_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^A signing secret must be whsec_ followed by base 64\.$"):
        webhooks.sign([secret], message_id="m", timestamp=1, body=b"")


# ---- the schedule ----------------------------------------
def test_ten_attempts_over_three_days() -> None:
    waits = [webhooks.retry_delay(attempts, draw=lambda: 0.0) for attempts in range(1, webhooks.MAX_ATTEMPTS)]
    hours = [5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert waits == [timedelta(hours=wait) for wait in hours]
    assert webhooks.MAX_ATTEMPTS == 10
    assert [webhooks.retry_delay(attempts) for attempts in (0, 10, 11)] == [None, None, None]


@given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 200_000))
def test_a_receiver_can_only_lengthen_the_delay(attempts: int, draw: float, seconds: int) -> None:
    asked = timedelta(seconds=seconds)
    alone = webhooks.retry_delay(attempts, draw=lambda: draw)
    wait = webhooks.retry_delay(attempts, retry_after=asked, draw=lambda: draw)
    assert alone is not None
    assert wait == max(alone, min(asked, timedelta(days=1)))
    assert webhooks.RETRY_DELAYS[attempts - 1] <= alone <= webhooks.RETRY_DELAYS[attempts - 1] * 1.2


@pytest.mark.parametrize(("asked", "waited"), [(3599, 3599), (86_400, 86_400), (86_401, 86_400)])
def test_a_receiver_can_ask_for_a_day_at_most(asked: int, waited: int) -> None:
    wait = webhooks.retry_delay(1, retry_after=timedelta(seconds=asked))
    assert wait == timedelta(seconds=waited)


def test_delays_are_spread_over_a_fifth() -> None:
    assert webhooks.retry_delay(1, draw=lambda: 1.0) == timedelta(seconds=6)
    random.seed(1)
    waits = [webhooks.retry_delay(9) for _ in range(50)]
    assert len(set(waits)) == len(waits)


def test_overlaps_of_a_rotation_are_the_published_ones() -> None:
    assert (timedelta(days=1), timedelta(days=7)) == (webhooks.DEFAULT_OVERLAP, webhooks.MAX_OVERLAP)
