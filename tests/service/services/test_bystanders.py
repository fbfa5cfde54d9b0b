"""What happens to one object changes no row of another, whoever it belongs to and whatever state it is in.

Row-level security keeps merchants apart; only the statements themselves keep two payments of a merchant apart.
"""

from collections.abc import Callable, Mapping

import pytest

from payments.domain.outcomes import Outcome
from payments.repositories.database import Database
from payments.services import stuck_attempts
from payments.services.recovery import void_expired_authorizations
from tests.service.api import Client, recover_due, sandbox_context, start_3ds
from tests.service.elsewhere import Shop
from tests.service.fixtures import Postgres, make_key
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.services.test_sharding import run_to_its_end, trade
from tests.service.web.test_route_table import KEYED, _call, _path

#: Tables about no object: positions of readers, and sums.
SHARED = {"alembic_version", "cursors", "ledger_rollups"}
#: Tokens of payments that stay in processing.
UNFINISHED = ("tok_lost_approved", "tok_lost_declined", "tok_pending_approved")

Rows = Mapping[str, frozenset[str]]


def read_all(postgres: Postgres) -> Rows:
    """Return the rows of every table."""
    tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        name: frozenset(row for (row,) in postgres.execute(f'SELECT to_jsonb(found)::text FROM "{name}" AS found'))
        for (name,) in tables
        if name not in SHARED
    }


def assert_untouched(before: Rows, postgres: Postgres, act: str) -> None:
    """Fail if one of the rows was changed or deleted."""
    now = read_all(postgres)
    changed = {table: sorted(rows - now[table]) for table, rows in before.items() if rows - now[table]}
    assert not changed, f"{act} changed rows of others"


def open_3ds(shop: Client) -> str:
    return start_3ds(shop)[0]


def with_event(shop: Client, own: dict[str, str]) -> dict[str, str]:
    events = shop.json(shop.get(f"/v1/payments/{own['payment_id']}/events"))["data"]
    return {**own, "event_id": events[0]["id"]}


def make_everything(shop: Client) -> None:
    """Payments over, authorized, in processing or with their customer; open attempts of each kind; a webhook."""
    trade(shop)
    open_3ds(shop)
    shop.create(capture_method="manual")
    for token in UNFINISHED:
        shop.create(token)
    for token, path in (("tok_capture_lost", "capture"), ("tok_void_lost", "void")):
        shop.post(f"/v1/payments/{shop.create(token, capture_method='manual').get_json()['id']}/{path}")
    for token in ("tok_refund_lost", "tok_refund_pending"):
        shop.post(f"/v1/payments/{shop.create(token).get_json()['id']}/refunds", {"amount": 10})


@pytest.fixture
def shop(postgres: Postgres, database: Database, journal: Database) -> Client:
    keys = [
        make_key(postgres, "mer_alice"),
        make_key(postgres, "mer_alice", livemode=True),
        make_key(postgres, "mer_bob"),
    ]
    shops = [Client(sandbox_context(database, journal), key) for key in keys]
    for shop in shops:
        make_everything(shop)
    run_to_its_end(shops[0].context, "webhook_fan_out")
    wait(postgres)
    return shops[0]


def wait(postgres: Postgres) -> None:
    """Nobody is at work on what is there, and it is due later."""
    postgres.execute(
        "UPDATE attempts SET deadline_at = '2020-01-01', next_look_at = '2100-01-01' WHERE status = 'open'"
    )
    postgres.execute("UPDATE webhook_messages SET next_attempt_at = '2100-01-01' WHERE status = 'pending'")
    postgres.execute("UPDATE processor_inbox SET next_look_at = '2100-01-01' WHERE state = 'open'")


# ---- acts of a merchant, its customer, an operator and the worker ----------------------------------------------------
def every_route(shop: Client, _: Postgres) -> None:
    own = with_event(shop, trade(shop))
    for route in KEYED:
        _call(shop.http(), route, _path(route, own), shop.key.headers)


def void_before_the_customer_decides(shop: Client, _: Postgres) -> None:
    shop.json(shop.post(f"/v1/payments/{open_3ds(shop)}/void"))


def customers_decide(shop: Client, _: Postgres) -> None:
    for decision in ("approve", "refuse"):
        page = start_3ds(shop)[1]
        assert shop.http().post(page, data={"decision": decision}).status_code == 200


def look_up(shop: Client, postgres: Postgres, payment_id: str) -> None:
    postgres.execute("UPDATE attempts SET next_look_at = now() WHERE status = 'open' AND payment_id = %s", payment_id)
    assert recover_due(shop.context)


def recover(shop: Client, postgres: Postgres) -> None:
    for token in UNFINISHED:
        look_up(shop, postgres, shop.json(shop.create(token))["id"])


def expire(shop: Client, postgres: Postgres) -> None:
    payment_id = shop.json(shop.create(capture_method="manual"))["id"]
    postgres.execute("UPDATE payments SET expires_at = now() WHERE id = %s", payment_id)
    assert void_expired_authorizations(shop.context)
    look_up(shop, postgres, payment_id)
    assert shop.payment(payment_id)["status"] == "canceled"


def resolve(shop: Client, postgres: Postgres) -> None:
    payment_id = shop.json(shop.create("tok_lost_declined"))["id"]
    statement = "UPDATE attempts SET deadline_at = now() WHERE payment_id = %s RETURNING id"
    ((attempt_id,),) = postgres.execute(statement, payment_id)
    declined = Outcome.DECLINED
    resolution = stuck_attempts.Resolution(attempt_id=attempt_id, outcome=declined, evidence="dashboard", actor="olga")
    assert stuck_attempts.resolve(shop.context, resolution)["payment"] == payment_id


ACTS = (every_route, void_before_the_customer_decides, customers_decide, recover, expire, resolve)


def test_no_act_changes_rows_of_others(shop: Client, postgres: Postgres) -> None:
    before = read_all(postgres)
    for act in ACTS:
        act(shop, postgres)
        assert_untouched(before, postgres, act.__name__)


# ---- acts at the processor -------------------------------------------------------------------------------------------
def refund(shop: Shop, payment_id: str) -> None:
    intent = shop.intent(payment_id)
    shop.stripe.settle_refund(shop.stripe.dashboard_refund(intent, 300, status="pending"), "failed")
    shop.stripe.dashboard_refund(intent, 100)


def lose(shop: Shop, payment_id: str) -> None:
    shop.stripe.move_dispute(shop.stripe.open_dispute(shop.intent(payment_id)), "lost")


def win(shop: Shop, payment_id: str) -> None:
    dispute = shop.stripe.open_dispute(shop.intent(payment_id), 200)
    shop.stripe.reinstate(dispute)
    shop.stripe.move_dispute(dispute, "won")


def capture(shop: Shop, payment_id: str) -> None:
    shop.stripe.dashboard_capture(shop.intent(payment_id))


def cancel(shop: Shop, payment_id: str) -> None:
    shop.stripe.dashboard_cancel(shop.intent(payment_id))


def approve(shop: Shop, payment_id: str) -> None:
    shop.stripe.complete_3ds(shop.intent(payment_id), approve=True)


def void_too_late(shop: Shop, payment_id: str) -> None:
    approve(shop, payment_id)
    assert shop.post(f"/v1/payments/{payment_id}/void").status_code == 402


VISA, THREE_DS = "pm_card_visa", "pm_card_authenticationRequired"
#: What happens to a payment at the processor; with which card and capture method it is made.
ELSEWHERE: Mapping[Callable[[Shop, str], None], tuple[str, str]] = {
    refund: (VISA, "automatic"),
    lose: (VISA, "automatic"),
    win: (VISA, "automatic"),
    capture: (VISA, "manual"),
    cancel: (VISA, "manual"),
    approve: (THREE_DS, "automatic"),
    void_too_late: (THREE_DS, "automatic"),
}


def receive(shop: Shop) -> None:
    """Store Stripe's events, and follow none."""
    while shop.stripe.messages:
        shop.send(shop.stripe.messages.pop(0))


def happen(shop: Shop, act: Callable[[Shop, str], None]) -> str:
    """Make a payment, let ``act`` happen to it, follow its events, and settle what they make due."""
    token, method = ELSEWHERE[act]
    payment_id = str(shop.create(token, capture_method=method).get_json()["id"])
    act(shop, payment_id)
    receive(shop)
    for _ in range(4):
        shop.sql("UPDATE processor_inbox SET next_look_at = now() WHERE state = 'open' AND next_look_at < '2100-01-01'")
        shop.sql("UPDATE attempts SET next_look_at = now() WHERE status = 'open' AND payment_id = %s", payment_id)
        recover_due(shop.context)
        shop.look()
    return payment_id


def test_nothing_elsewhere_changes_rows_of_others(
    postgres: Postgres, database: Database, stripe: StripeDashboard
) -> None:
    shops = [Shop(database, make_key(postgres, name), postgres, stripe) for name in ("mer_alice", "mer_bob")]
    for shop in shops:
        for act in ELSEWHERE:
            happen(shop, act)
        shop.create(THREE_DS)
        stripe.dashboard_refund(shop.buy()[1], 100)
        receive(shop)
    wait(postgres)
    before = read_all(postgres)
    for act in ELSEWHERE:
        payment_id = happen(shops[0], act)
        assert shops[0].unmapped() == []
        assert not shops[0].sql("SELECT FROM attempts WHERE status = 'open' AND payment_id = %s", payment_id)
        assert_untouched(before, postgres, act.__name__)


# ---- reads -----------------------------------------------------------------------------------------------------------
READS = [route for route in KEYED if route.method == "GET" and route.parameters]


def test_a_read_is_about_what_was_asked_for(shop: Client) -> None:
    """Beside others of the same merchant."""
    for own in [with_event(shop, trade(shop)) for _ in range(2)]:
        for route in READS:
            (asked,) = (own[name] for name in route.parameters)
            found = shop.json(shop.get(_path(route, own)))
            if route.path.endswith(">"):
                assert found["id"] == asked, str(route)
            elif route.parameters == ["payment_id"]:
                assert {item["payment"] for item in found["data"]} == {asked}, str(route)
