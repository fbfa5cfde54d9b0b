"""Stripe, as the stand-in plays it."""

from collections.abc import Iterator

import pytest

from payments.processors import stripe_api
from payments.processors.stripe import StripeProcessor
from tests.service.processors.stripe_standin import API_KEY, StripeStandin, stripe_standin


@pytest.fixture(scope="module")
def server() -> Iterator[StripeStandin]:
    with stripe_standin() as found:
        yield found


@pytest.fixture
def standin(server: StripeStandin, monkeypatch: pytest.MonkeyPatch) -> StripeStandin:
    monkeypatch.setattr(stripe_api, "_RETRY_DELAY", 0.001)
    server.faults.clear()
    server.intents.clear()
    server.refunds.clear()
    server.executed.clear()
    server.arrived.clear()
    server.released.clear()
    server.refund_status = "succeeded"
    server.api_key = API_KEY
    server.denied.clear()
    server.disputed.clear()
    return server


@pytest.fixture
def processor(standin: StripeStandin) -> StripeProcessor:
    return StripeProcessor(api_key=API_KEY, base_url=standin.url)
