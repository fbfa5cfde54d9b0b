"""A second opinion: the adapter against `localstripe`, a stateful fake of Stripe that others wrote and keep.

It runs in a process of its own. It knows no idempotency keys, no codes of refused requests and an older API: what it
does not know is taken out of requests, and what the pinned version calls otherwise is renamed in responses. States,
transitions, declines, refunds and lists are its own. (It captures what is canceled; Stripe does not.)
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from payments.domain.outcomes import DeclineCode, Outcome
from payments.processors import stripe_api
from payments.processors.base import CallKind
from payments.processors.stripe import StripeProcessor
from tests.service.processors.stripe_calls import authorized, captured, changed, new_call, prepared, settle
from tests.waiting import wait_until

#: Its own command listens on every interface and keeps its state in /tmp; this one on the loopback only, and in memory.
_LAUNCHER = (
    "import sys; from aiohttp import web; from localstripe import resources; from localstripe.server import app;"
    "resources.Store.dump_to_disk = lambda store: None;"
    "web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]), print=None)"
)
_UNKNOWN_PARAMETERS = ("allowed_payment_method_types", "description", "reason", "return_url")


class Translating(stripe_api._Transport):
    """Translates between the API version that we pin and the fake's."""

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **more: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        text, status, found = super().request(method, url, headers, _known(url, post_data), **more)
        body = json.loads(text)
        return json.dumps(_renamed(body)), status, found


def _known(url: str, form: str | None) -> str | None:
    if form is None:
        return None
    dropped = _UNKNOWN_PARAMETERS + (("metadata",) if url.endswith("/capture") else ())
    return urlencode([(name, value) for name, value in parse_qsl(form) if name.partition("[")[0] not in dropped])


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("object") != "payment_intent":
        return body
    charge = body["latest_charge"] or {}
    received = charge["amount"] - charge["amount_refunded"] if charge.get("captured") else 0
    error = body["last_payment_error"] and {**body["last_payment_error"], "type": "card_error"}
    return {**body, "latest_charge": charge.get("id"), "amount_received": received, "last_payment_error": error}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", _LAUNCHER, str(port)], env=environment)

    def listens() -> bool:
        assert process.poll() is None, "localstripe ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "localstripe to listen")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def processor(url: str, monkeypatch: pytest.MonkeyPatch) -> StripeProcessor:
    monkeypatch.setattr(stripe_api, "_Transport", Translating)
    return StripeProcessor(api_key="sk_test_12345", base_url=url)


def test_a_payment_is_charged_and_refunded(processor: StripeProcessor) -> None:
    reference = captured(processor, metadata={"order": "6735"}, merchant_reference="order")
    assert processor.look_up(new_call(charge_reference=reference)).outcome is Outcome.APPROVED
    first = new_call(CallKind.REFUND, charge_reference=reference, amount=300)
    assert processor.look_up(first).outcome is Outcome.NOT_FOUND
    assert processor.refund(first).outcome is Outcome.APPROVED
    second = new_call(CallKind.REFUND, charge_reference=reference, amount=300)
    assert processor.look_up(second).outcome is Outcome.NOT_FOUND, "the first is told from the second"
    assert processor.refund(second).reference != processor.look_up(first).reference


@pytest.mark.parametrize("amount", [1000, 400])
def test_a_capture_is_recognized(processor: StripeProcessor, amount: int) -> None:
    call = new_call(CallKind.CAPTURE, charge_reference=authorized(processor), amount=amount)
    assert processor.look_up(call).outcome is Outcome.NOT_FOUND
    assert processor.capture(call).outcome is Outcome.APPROVED
    again = changed(call, attempt_id=f"{call.attempt_id}-again")
    assert processor.capture(again).outcome is Outcome.APPROVED, "refused, and found to be captured"


def test_a_void_releases_and_can_be_repeated(processor: StripeProcessor) -> None:
    call = new_call(CallKind.VOID, charge_reference=authorized(processor))
    assert processor.look_up(call).outcome is Outcome.NOT_FOUND
    assert processor.void(call).outcome is Outcome.APPROVED
    assert processor.void(changed(call, attempt_id=f"{call.attempt_id}-again")).outcome is Outcome.APPROVED


def test_what_has_succeeded_cannot_be_voided(processor: StripeProcessor) -> None:
    call = new_call(CallKind.VOID, charge_reference=captured(processor))
    result = processor.void(call)
    assert (result.outcome, result.decline_code) == (Outcome.DECLINED, DeclineCode.ALREADY_CAPTURED)
    assert processor.look_up(call).outcome is Outcome.DECLINED


def test_a_decline_ends_the_payment(processor: StripeProcessor) -> None:
    call = prepared(processor, payment_method="pm_card_chargeCustomerFail")
    result = settle(processor, call, processor.authorize(call))
    assert (result.outcome, result.decline_code) == (Outcome.DECLINED, DeclineCode.GENERIC_DECLINE)
    assert processor.authorize(call).outcome is Outcome.DECLINED, "it can never be confirmed again"


def test_an_unconfirmed_payment_is_abandoned(processor: StripeProcessor) -> None:
    call = prepared(processor)
    assert processor.look_up(call).outcome is Outcome.UNCONFIRMED
    assert processor.abandon(call).outcome is Outcome.NOT_DONE
    assert processor.authorize(call).outcome is Outcome.NOT_DONE


def test_a_key_of_another_kind_is_our_mistake(url: str, processor: StripeProcessor) -> None:
    wrong = StripeProcessor(api_key="pk_test_12345", base_url=url)
    assert wrong.prepare(new_call()).outcome is Outcome.MISCONFIGURED
    stranger = new_call(CallKind.CAPTURE, charge_reference="pi_of_another_account")
    assert processor.capture(stranger).outcome is Outcome.MISCONFIGURED


def test_an_unknown_payment_method_is_not_done(processor: StripeProcessor) -> None:
    assert not processor.prepare(new_call(payment_method="pm_unheardof")).outcome.startswith("prepared")
