"""What the tests of the use cases share."""

from collections.abc import Iterator

import pytest

from payments.processors import stripe_api
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_standin import stripe_standin


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeDashboard]:
    """The stand-in for Stripe, where others act too; the service repeats calls to it without a pause."""
    monkeypatch.setattr(stripe_api, "_RETRY_DELAY", 0.001)
    dashboard = StripeDashboard()
    with stripe_standin(dashboard):
        yield dashboard
