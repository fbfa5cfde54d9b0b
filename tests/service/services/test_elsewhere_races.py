"""Events, look-ups, requests and crashes in every order: what was done elsewhere is booked once."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from payments.processors.stripe_snapshots import StripeSnapshots
from payments.repositories import inbox as inbox_rows
from payments.repositories.connection import Connection
from payments.repositories.database import Database
from payments.services import following, inbox
from payments.services.comparison import Comparison
from payments.worker.processor_events import EventPool
from tests.service.elsewhere import Shop
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_dashboard import DISPUTE_FEE, StripeDashboard

KILLED = 9

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def shop(database: Database, key: ApiKey, postgres: Postgres, stripe: StripeDashboard) -> Iterator[Shop]:
    shop = Shop(database, key, postgres, stripe)
    yield shop
    assert shop.problems() == []


def change_everything(stripe: StripeDashboard, intent: str) -> None:
    """Capture, refund twice and dispute."""
    stripe.dashboard_capture(intent, 900)
    stripe.dashboard_refund(intent, 100)
    stripe.dashboard_refund(intent, 200, status="pending")
    stripe.move_dispute(stripe.open_dispute(intent, 300), "lost")


def assert_everything_once(shop: Shop, payment: str) -> None:
    found = shop.payment(payment)
    assert (found["status"], found["amount_captured"]) == ("succeeded", 900)
    assert (found["amount_refunded"], found["amount_refund_pending"]) == (100, 200)
    assert sorted(shop.event_types(payment)) == sorted(
        [
            "payment.authorized",
            "payment.succeeded",
            "refund.succeeded",
            "refund.pending",
            "dispute.created",
            "dispute.closed",
        ]
    )
    assert [event["sequence"] for event in shop.events(payment)] == [1, 2, 3, 4, 5, 6]
    balances = shop.balances()
    assert balances["merchant_payable"] + balances["platform_fees"] == 900 - 100 - 300
    assert balances["processor_receivable"] == 900 - 100 - 300 - DISPUTE_FEE
    assert balances["disputes"] == 0
    assert shop.states() == {"followed"}


# ---- crashes
def _die(*_: object, **__: object) -> None:
    os._exit(KILLED)


def _after(original: Callable[..., Any]) -> Callable[..., Any]:
    def die(*arguments: Any, **named: Any) -> None:
        original(*arguments, **named)
        os._exit(KILLED)

    return die


#: Every place between two durable steps: owner, name, what it becomes.
POINTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "after the claim": (inbox, "handle", _die),
    "after the retrieval": (StripeSnapshots, "retrieve_payment", _after(StripeSnapshots.retrieve_payment)),
    "before the commit": (Comparison, "run", _after(Comparison.run)),
    "after the commit": (inbox, "_finish", _die),
    "before it is marked": (inbox_rows, "finish", _after(inbox_rows.finish)),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_is_killed(shop: Shop, stripe: StripeDashboard, point: str) -> None:
    payment, intent = shop.buy(capture_method="manual")
    change_everything(stripe, intent)
    for message in stripe.messages:
        shop.send(message)
    pid = os.fork()
    if pid == 0:
        try:
            owner, name, replacement = POINTS[point]
            setattr(owner, name, replacement)
            context = Shop(Database(shop.postgres.app, size=2), shop.key, shop.postgres, stripe).context
            for group in inbox.claim_due(context, "stripe", limit=100):
                inbox.handle(context, group)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == KILLED
    assert shop.states() == {"open"}
    assert not shop.look(), "others wait for the lease"
    shop.work()
    assert_everything_once(shop, payment)


# ---- two workers, and requests between the steps
def test_two_workers_book_it_once(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy(capture_method="manual")
    change_everything(stripe, intent)
    for message in stripe.messages * 2:
        shop.send(message)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for message in stripe.messages:
            following.follow(
                shop.context,
                shop.context.processors["stripe"],  # type: ignore[arg-type]  # it sends webhooks
                livemode=False,
                references=[message[1]["id"], intent],
            )

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    shop.work()
    assert_everything_once(shop, payment)


class Between:
    """Does something once, between the retrieval and the comparison, or between two of the reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], object]) -> None:
        original = getattr(owner, name)
        self.acted = False

        def wrapped(*arguments: Any, **named: Any) -> Any:
            found = original(*arguments, **named)
            if not self.acted:
                self.acted = True
                act()
            return found

        monkeypatch.setattr(owner, name, wrapped)


def test_a_snapshot_older_than_the_books_is_dropped(
    shop: Shop, stripe: StripeDashboard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Our own capture is made and recorded after the processor was asked: it received no less than it captured."""
    payment, intent = shop.buy(capture_method="manual")
    between = Between(
        monkeypatch,
        StripeSnapshots,
        "retrieve_payment",
        lambda: shop.json(shop.post(f"/v1/payments/{payment}/capture")),
    )
    shop.deliver([("payment_intent.amount_capturable_updated", stripe.intents[intent])])
    assert between.acted
    assert shop.event_types(payment) == ["payment.authorized", "payment.succeeded"]
    assert shop.states() == {"followed"}
    assert "cannot be mapped" not in caplog.text


def test_a_snapshot_before_a_failure_is_dropped(
    shop: Shop, stripe: StripeDashboard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A refund fails and that is booked by another worker while this one still holds that it succeeded."""
    payment, intent = shop.buy()
    refund = stripe.dashboard_refund(intent, 100)
    shop.deliver()

    def fail() -> None:
        stripe.settle_refund(refund, "failed")
        shop.deliver()

    between = Between(monkeypatch, StripeSnapshots, "retrieve_payment", fail)
    shop.deliver([("refund.updated", stripe.refunds[refund])])
    assert between.acted
    assert shop.refunds(payment) == [(100, "failed", "external")]
    assert shop.event_types(payment)[1:] == ["refund.succeeded", "refund.failed"]
    assert shop.states() == {"followed"}
    assert "cannot be mapped" not in caplog.text


@pytest.mark.parametrize("read", ["_disputes", "list_refunds"])
def test_changes_between_the_reads(
    shop: Shop, stripe: StripeDashboard, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """A refund that is seen implies that its capture is seen, and the rest is told by the next event."""
    payment, intent = shop.buy(capture_method="manual")

    def read_then_change(self: StripeSnapshots, *arguments: Any, **named: Any) -> list[Any]:
        found = list(original(self, *arguments, **named))
        if stripe.intents[intent]["status"] == "requires_capture":
            change_everything(stripe, intent)
        return found

    original = getattr(StripeSnapshots, read)
    monkeypatch.setattr(StripeSnapshots, read, read_then_change)
    shop.deliver([("payment_intent.created", stripe.intents[intent])])
    assert shop.states() == {"followed"}
    shop.deliver(stripe.messages[-1:])
    assert_everything_once(shop, payment)


def test_a_payment_that_keeps_changing_gets_another_turn(
    shop: Shop, stripe: StripeDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment, intent = shop.buy()
    stripe.dashboard_refund(intent, 100)
    original = StripeSnapshots.retrieve_payment

    def busy(self: StripeSnapshots, *arguments: Any, **named: Any) -> Any:
        shop.json(shop.post(f"/v1/payments/{payment}/refunds", {"amount": 1}))
        return original(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(StripeSnapshots, "retrieve_payment", busy)
        for message in stripe.messages:
            shop.send(message)
        shop.look()
    assert shop.inbox() == [("open", "the payment keeps changing")] * 2
    shop.work()
    assert shop.payment(payment)["amount_refunded"] == 103


def test_one_look_serves_all_events_of_a_payment(shop: Shop, stripe: StripeDashboard) -> None:
    _, intent = shop.buy(capture_method="manual")
    change_everything(stripe, intent)
    before = stripe.executed["retrieve"]
    shop.deliver()
    assert stripe.executed["retrieve"] == before + 1


def test_a_lock_held_by_another_delays_only(shop: Shop, stripe: StripeDashboard, database: Database) -> None:
    """A request that holds the payment's row for longer than the lock's time-out: the event is looked at again."""
    payment, intent = shop.buy()
    stripe.dashboard_refund(intent, 100)
    with database.transaction() as tx:
        _lock(tx, payment)
        for message in stripe.messages:
            shop.send(message)
        pool = EventPool(shop.context, "stripe")
        assert pool.run()
        pool.close()
    assert {reason for _, reason in shop.inbox()} == {"failed: LockNotAvailable"}
    shop.work()
    assert shop.payment(payment)["amount_refunded"] == 100


def _lock(tx: Connection, payment: str) -> None:
    tx.execute("SELECT 1 FROM payments WHERE id = %s FOR NO KEY UPDATE", [payment])
