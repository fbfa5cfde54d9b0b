"""Events reach every endpoint that wants them, at least once, in commit-safe order; a bad endpoint harms no other."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from standardwebhooks.webhooks import Webhook

from payments.core.problems import ValidationFailed
from payments.delivery.sender import Sender
from payments.domain import webhooks as domain
from payments.domain.api_keys import ALL_SCOPES, Principal
from payments.domain.ids import Prefix, created_at, new_id
from payments.repositories import webhook_messages
from payments.repositories.database import Database
from payments.repositories.webhook_messages import InFlight
from payments.services import housekeeping, webhook_delivery, webhook_endpoints
from payments.services.context import Context
from payments.services.idempotency import IdempotentRequest
from payments.services.webhook_delivery import fan_out
from payments.services.webhook_endpoints import MAX_ENDPOINTS, EndpointUpdate
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver, receiver
from tests.service.seed import add_event, add_event_in

_ALICE = Principal(merchant_id="mer_alice", livemode=False, key_id="key_a", scopes=ALL_SCOPES, api_version="2026-11-01")
_BOB = Principal(merchant_id="mer_bob", livemode=False, key_id="key_b", scopes=ALL_SCOPES, api_version="2026-11-01")


@pytest.fixture
def context(postgres: Postgres, database: Database) -> Context:
    with psycopg.connect(postgres.app) as connection:
        for principal in (_ALICE, _BOB):
            _add_merchant(connection, principal)
    return Context(database=database, processors={}, routes={}, allow_local_webhooks=True)


@pytest.fixture
def deliverer(context: Context) -> Iterator[DeliveryPool]:
    found = DeliveryPool(context, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=8)
    yield found
    found.close()


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


_requests = iter(range(10**6))


def _add_merchant(connection: psycopg.Connection, principal: Principal) -> None:
    connection.execute("INSERT INTO merchants (id, name) VALUES (%s, 'M')", [principal.merchant_id])
    connection.execute(
        "INSERT INTO api_keys (id, merchant_id, livemode, secret_hash, scopes, api_version)"
        " VALUES (%(key_id)s, %(merchant_id)s, %(livemode)s, sha256('x'), %(scopes)s, %(api_version)s)",
        {**vars(principal), "scopes": sorted(principal.scopes)},
    )


def _request() -> IdempotentRequest:
    number = next(_requests)
    return IdempotentRequest(key_hash=number.to_bytes(32), fingerprint=bytes(32), request_id="req_1")


def _register(context: Context, url: str, principal: Principal = _ALICE, **changes: object) -> dict[str, Any]:
    values: dict[str, Any] = {"url": url, "description": None, "event_types": ["*"], **changes}
    found: dict[str, Any] = json.loads(webhook_endpoints.create(context, principal, _request(), **values).body)
    return found


def _run(context: Context, deliverer: DeliveryPool) -> None:
    """What the worker does until there is nothing due."""
    while fan_out(context):
        pass
    while deliverer.run() or not deliverer.wait_until_idle():
        deliverer.wait_until_idle()


def _messages(postgres: Postgres) -> list[tuple[str, str, int]]:
    with psycopg.connect(postgres.superuser) as connection:
        return connection.execute("SELECT event_id, status, attempts FROM webhook_messages ORDER BY id").fetchall()


def _make_due(postgres: Postgres) -> None:
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET next_attempt_at = now() WHERE status = 'pending'")


def _let_pass(postgres: Postgres, time: timedelta) -> None:
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET next_attempt_at = next_attempt_at - %s", [time])


# ---- fan-out --------------------------------------------------------------------------------------------------------
def test_an_event_is_delivered_signed_and_unchanged(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    event = add_event(postgres, "mer_alice")
    _run(context, deliverer)
    (received,) = shop.requests
    assert received.headers["webhook-id"] == event
    assert Webhook(endpoint["secret"]).verify(received.body.decode(), received.headers)["id"] == event
    with psycopg.connect(postgres.superuser) as connection:
        stored = connection.execute("SELECT body FROM events WHERE id = %s", [event]).fetchone()
    assert stored == (received.body.decode(),)
    assert _messages(postgres) == [(event, "delivered", 1)]


def test_only_subscribers_of_the_tenant_are_notified(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    _register(context, shop.url + "/bob", _BOB)
    _register(context, shop.url + "/refunds", event_types=["refund.succeeded", "refund.failed"])
    _register(context, shop.url + "/all")
    add_event(postgres, "mer_alice", type="payment.succeeded")
    add_event(postgres, "mer_alice", type="refund.failed")
    add_event(postgres, "mer_alice", livemode=True)
    _run(context, deliverer)
    assert sorted(request.path for request in shop.requests) == ["/hook/all", "/hook/all", "/hook/refunds"]


def test_events_older_than_the_endpoint_are_not_sent(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    add_event(postgres, "mer_alice")
    _register(context, shop.url)
    _run(context, deliverer)
    assert shop.requests == []


def test_an_event_that_commits_late_is_not_skipped(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    _register(context, shop.url)
    with psycopg.connect(postgres.superuser) as slow:
        late = add_event_in(slow, "mer_alice")
        early = add_event(postgres, "mer_alice")  # a later transaction that commits first
        _run(context, deliverer)
        assert shop.requests == []  # it waits for the one that may still come before it
        slow.commit()
    _run(context, deliverer)
    assert {request.headers["webhook-id"] for request in shop.requests} == {late, early}
    assert not fan_out(context)


def test_a_merchant_with_many_events_is_served_in_turns(
    context: Context, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "_FAN_OUT_MESSAGES", 4)
    for number in range(2):
        _register(context, f"http://127.0.0.1:1/{number}")
    _register(context, "http://127.0.0.1:1/", _BOB)
    many = [add_event(postgres, "mer_alice") for _ in range(7)]
    other = [add_event(postgres, "mer_bob") for _ in range(2)]
    assert fan_out(context)
    assert Counter(event for event, _, _ in _messages(postgres)) == Counter(many[:2] * 2 + other)
    assert fan_out(context)
    late = add_event(postgres, "mer_bob")
    assert fan_out(context)
    assert late in [event for event, _, _ in _messages(postgres)], "new ones come before what is left of the many"
    while fan_out(context):
        pass
    assert sorted(event for event, _, _ in _messages(postgres)) == sorted([*many * 2, *other, late])


def test_what_is_left_of_many_events_survives_a_restart(
    context: Context, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not repeated: every event is fanned out once, whoever goes on."""
    monkeypatch.setattr(webhook_delivery, "_FAN_OUT_MESSAGES", 1)
    _register(context, "http://127.0.0.1:1/")
    made = [add_event(postgres, "mer_alice") for _ in range(3)]
    assert fan_out(context)
    with monkeypatch.context() as broken:
        broken.setattr(webhook_messages, "insert", _raise)
        with pytest.raises(psycopg.OperationalError):
            fan_out(context)
    assert [event for event, _, _ in _messages(postgres)] == made[:1]
    made.append(add_event(postgres, "mer_alice"))
    while fan_out(context):
        pass
    assert sorted(event for event, _, _ in _messages(postgres)) == made


def test_a_worker_does_not_wait_while_another_fans_out(context: Context, postgres: Postgres) -> None:
    _register(context, "http://127.0.0.1:1/")
    event = add_event(postgres, "mer_alice")
    with psycopg.connect(postgres.app) as other:
        other.execute("SELECT 1 FROM cursors WHERE name = 'outbox' FOR UPDATE")
        assert not fan_out(context)
    assert fan_out(context)
    assert [found for found, _, _ in _messages(postgres)] == [event]


def test_events_that_nobody_wants_are_passed_over(context: Context, postgres: Postgres) -> None:
    _register(context, "http://127.0.0.1:1/", event_types=["refund.failed"])
    for _ in range(100):
        add_event(postgres, "mer_alice")
    wanted = add_event(postgres, "mer_alice", type="refund.failed")
    add_event(postgres, "mer_nobody")
    while fan_out(context):
        pass
    assert [event for event, _, _ in _messages(postgres)] == [wanted]


# ---- failures -------------------------------------------------------------------------------------------------------
def test_a_failed_delivery_is_retried_unchanged(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    shop.statuses = [500, 302, 200]
    event = add_event(postgres, "mer_alice")
    for attempts, wait in ((1, timedelta(seconds=5)), (2, timedelta(minutes=5))):
        _run(context, deliverer)
        assert _messages(postgres) == [(event, "pending", attempts)]
        with psycopg.connect(postgres.superuser) as connection:
            row = connection.execute("SELECT next_attempt_at - now() FROM webhook_messages").fetchone()
        assert row is not None
        assert wait - timedelta(seconds=3) < row[0] < wait * 1.3
        _make_due(postgres)
    _run(context, deliverer)
    assert _messages(postgres) == [(event, "delivered", 3)]
    assert len({request.headers["webhook-id"] for request in shop.requests}) == 1
    assert len({request.body for request in shop.requests}) == 1
    log = webhook_endpoints.list_deliveries(context, _ALICE, endpoint["id"], before=None, limit=10)
    assert [(entry.attempt, entry.status_code) for entry in log] == [(3, 200), (2, 302), (1, 500)]


def test_a_missing_response_is_logged_with_its_reason(
    context: Context, deliverer: DeliveryPool, postgres: Postgres
) -> None:
    with receiver() as closed:
        pass
    endpoint = _register(context, closed.url)
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    (entry,) = webhook_endpoints.list_deliveries(context, _ALICE, endpoint["id"], before=None, limit=10)
    assert (entry.status_code, entry.error) == (None, "The connection failed.")
    assert webhook_endpoints.get(context, _ALICE, endpoint["id"]).failing_since is not None


def test_exhausted_retries_disable_a_dead_endpoint(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    shop.statuses = [500]
    event = add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET attempts = %s", [domain.MAX_ATTEMPTS - 1])
    _run(context, deliverer)
    # It failed only now: the endpoint stays, only this message is given up.
    assert _messages(postgres) == [(event, "failed", domain.MAX_ATTEMPTS)]
    assert webhook_endpoints.get(context, _ALICE, endpoint["id"]).status == "enabled"

    second = add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute(
            "UPDATE webhook_messages SET attempts = %s WHERE status = 'pending'", [domain.MAX_ATTEMPTS - 1]
        )
        connection.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days'")
    _run(context, deliverer)
    found = webhook_endpoints.get(context, _ALICE, endpoint["id"])
    assert (found.status, found.disabled_reason) == ("disabled", "failing")
    assert (second, "held", domain.MAX_ATTEMPTS - 1) in _messages(postgres)


def test_410_disables_the_endpoint(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    shop.statuses = [410]
    first = add_event(postgres, "mer_alice")
    _run(context, deliverer)
    found = webhook_endpoints.get(context, _ALICE, endpoint["id"])
    assert (found.status, found.disabled_reason) == ("disabled", "gone")

    second = add_event(postgres, "mer_alice")
    _run(context, deliverer)
    assert len(shop.requests) == 1
    assert {(event, status) for event, status, _ in _messages(postgres)} == {(first, "held"), (second, "held")}

    shop.statuses = [200]
    webhook_endpoints.update(context, _ALICE, endpoint["id"], EndpointUpdate(status="enabled"))
    _run(context, deliverer)
    assert {request.headers["webhook-id"] for request in shop.requests[1:]} == {first, second}
    assert {status for _, status, _ in _messages(postgres)} == {"delivered"}


def test_a_success_resets_failing_since(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    shop.statuses = [500, 200]
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    assert webhook_endpoints.get(context, _ALICE, endpoint["id"]).failing_since is not None
    _make_due(postgres)
    _run(context, deliverer)
    assert webhook_endpoints.get(context, _ALICE, endpoint["id"]).failing_since is None


# ---- leases and fairness --------------------------------------------------------------------------------------------
_PLENTY: dict[str, Any] = {
    "free": 1000,
    "per_endpoint": 4,
    "share": 8,
    "in_flight": InFlight(),
    "lease": timedelta(seconds=60),
}


def _claim(context: Context, **changes: object) -> Any:
    values: dict[str, Any] = {**_PLENTY, **changes}
    with context.database.transaction() as tx:
        found = webhook_messages.claim_due(tx, **values)
        tx.commit()
    return found


def test_a_claim_lasts_until_its_lease_ends(context: Context, postgres: Postgres) -> None:
    _register(context, "http://127.0.0.1:1/")
    add_event(postgres, "mer_alice")
    fan_out(context)
    (first,) = _claim(context, lease=timedelta(seconds=60))
    _let_pass(postgres, timedelta(seconds=50))
    assert _claim(context) == []
    _let_pass(postgres, timedelta(seconds=10))
    (second,) = _claim(context)
    with context.database.transaction() as tx:
        assert not webhook_messages.settle(tx, first, status="delivered", attempts=1, delay=None)
        assert webhook_messages.settle(tx, second, status="delivered", attempts=1, delay=None)
        tx.commit()


def test_two_workers_claim_different_messages(context: Context, postgres: Postgres) -> None:
    for number in range(3):
        _register(context, f"http://127.0.0.1:1/{number}")
    add_event(postgres, "mer_alice")
    fan_out(context)
    with context.database.transaction() as one, context.database.transaction() as other:
        first = {message.id for message in webhook_messages.claim_due(one, **{**_PLENTY, "free": 1})}
        second = {message.id for message in webhook_messages.claim_due(other, **_PLENTY)}
    assert len(first) == 1
    assert len(second) <= 2
    assert not first & second


def test_concurrent_deliveries_per_endpoint_are_limited(context: Context, postgres: Postgres) -> None:
    good = _register(context, "http://127.0.0.1:1/good")["id"]
    failing = _register(context, "http://127.0.0.1:1/failing")["id"]
    busy = _register(context, "http://127.0.0.1:1/busy")["id"]
    for _ in range(6):
        add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET failing_since = now() WHERE id = %s", [failing])
    in_flight = InFlight(by_merchant={"mer_alice": 4}, by_endpoint={busy: 4})
    claimed = [message.endpoint_id for message in _claim(context, in_flight=in_flight)]
    assert (claimed.count(good), claimed.count(failing), claimed.count(busy)) == (4, 1, 0)


def test_a_hanging_endpoint_does_not_delay_another(context: Context, postgres: Postgres, shop: Receiver) -> None:
    released = threading.Event()
    deliverer = DeliveryPool(context, Sender(allow_local=True, timeout=timedelta(minutes=1)), threads=8)
    with receiver() as hanging:
        hanging.misbehave = lambda _: released.wait(60)
        _register(context, hanging.url)
        for _ in range(20):
            add_event(postgres, "mer_alice")
        _register(context, shop.url, _BOB)
        add_event(postgres, "mer_bob")
        while fan_out(context):
            pass
        deliverer.run()
        assert shop.arrived.wait(60), "served while the other still hangs"
        assert len(hanging.requests) <= 4
        released.set()
        deliverer.close()


def test_a_place_is_left_for_whoever_comes_next(context: Context, postgres: Postgres) -> None:
    """However many merchants take all they can get, a claim at a time."""
    hostile = [f"mer_{number}" for number in range(20)]
    principals = [replace(_ALICE, merchant_id=merchant, key_id=f"key_{merchant}") for merchant in hostile]
    with psycopg.connect(postgres.app) as connection:
        for principal in principals:
            _add_merchant(connection, principal)
    for principal in principals:
        for number in range(4):
            _register(context, f"http://127.0.0.1:1/{number}", principal)
        for _ in range(8):
            add_event(postgres, principal.merchant_id)
    while fan_out(context):
        pass
    size, merchants, endpoints = 64, Counter[str](), Counter[str]()
    while claimed := _claim(
        context, free=size - merchants.total(), in_flight=InFlight(by_merchant=merchants, by_endpoint=endpoints)
    ):
        merchants.update(message.merchant_id for message in claimed)
        endpoints.update(message.endpoint_id for message in claimed)
    assert set(merchants) == set(hostile)
    assert max(merchants.values()) - min(merchants.values()) <= 1
    assert size - merchants.total() >= size // 8, "some are still free"
    _register(context, "http://127.0.0.1:1/", _BOB)
    add_event(postgres, "mer_bob")
    while fan_out(context):
        pass
    free, in_flight = size - merchants.total(), InFlight(by_merchant=merchants, by_endpoint=endpoints)
    assert [message.merchant_id for message in _claim(context, free=free, in_flight=in_flight)] == ["mer_bob"]


def test_slow_endpoints_leave_a_place_for_others(context: Context, postgres: Postgres) -> None:
    for number in range(MAX_ENDPOINTS - 1):
        _register(context, f"http://127.0.0.1:1/{number}")
    for _ in range(10):
        add_event(postgres, "mer_alice")
    while fan_out(context):
        pass
    endpoints = Counter[str]()
    while claimed := _claim(
        context,
        free=256 - endpoints.total(),
        in_flight=InFlight(by_merchant={"mer_alice": endpoints.total()}, by_endpoint=endpoints),
    ):
        endpoints.update(message.endpoint_id for message in claimed)
    good = _register(context, "http://127.0.0.1:1/good")["id"]
    add_event(postgres, "mer_alice")
    while fan_out(context):
        pass
    in_flight = InFlight(by_merchant={"mer_alice": endpoints.total()}, by_endpoint=endpoints)
    assert good in [each.endpoint_id for each in _claim(context, free=256 - endpoints.total(), in_flight=in_flight)]


def test_what_cannot_be_sent_fails_by_the_schedule(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours that one message brings to light is seen, ends, and delays no other message."""
    poisoned = _register(context, shop.url + "/poisoned")["id"]
    _register(context, shop.url)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET secret = 'whsec_*' WHERE id = %s", [poisoned])
    event = add_event(postgres, "mer_alice")
    _run(context, deliverer)
    assert [request.path for request in shop.requests] == ["/hook"]
    assert sorted(_messages(postgres)) == [(event, "delivered", 1), (event, "pending", 1)]
    (entry,) = webhook_endpoints.list_deliveries(context, _ALICE, poisoned, before=None, limit=10)
    assert (entry.status_code, entry.error) == (None, "The message could not be sent.")
    assert "webhook message could not be sent" in caplog.text
    webhook_endpoints.rotate_secret(context, _ALICE, _request(), endpoint_id=poisoned, overlap=timedelta(0))
    _make_due(postgres)
    _run(context, deliverer)
    assert [request.path for request in shop.requests] == ["/hook", "/hook/poisoned"]


def test_a_delivery_that_is_not_recorded_is_repeated(
    context: Context,
    deliverer: DeliveryPool,
    postgres: Postgres,
    shop: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _register(context, shop.url)
    event = add_event(postgres, "mer_alice")
    fan_out(context)
    with monkeypatch.context() as broken:
        broken.setattr(webhook_messages, "log_delivery", _raise)
        deliverer.run()
        deliverer.wait_until_idle()
    assert _messages(postgres) == [(event, "pending", 0)]
    _make_due(postgres)
    _run(context, deliverer)
    assert [request.headers["webhook-id"] for request in shop.requests] == [event, event]


def test_nothing_is_claimed_while_every_thread_is_busy(context: Context, postgres: Postgres) -> None:
    released = threading.Event()
    with receiver() as slow:
        slow.misbehave = lambda _: released.wait(60)
        _register(context, slow.url)
        for _ in range(2):
            add_event(postgres, "mer_alice")
        while fan_out(context):
            pass
        deliverer = DeliveryPool(context, Sender(allow_local=True), threads=1)
        assert deliverer.run()
        assert not deliverer.run()
        assert not deliverer.wait_until_idle(timeout=0)
        released.set()
        deliverer.close()
    assert len(slow.requests) == 1


def _raise(*_: object) -> None:
    raise psycopg.OperationalError("gone")


# ---- rotation, redelivery, deletion ---------------------------------------------------------------------------------
def test_both_secrets_sign_during_a_rotation(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    old = _register(context, shop.url)
    response = webhook_endpoints.rotate_secret(
        context, _ALICE, _request(), endpoint_id=old["id"], overlap=timedelta(hours=1)
    )
    new = json.loads(response.body)
    assert new["secret"] not in (None, old["secret"])
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    for secret in (old["secret"], new["secret"]):
        Webhook(secret).verify(shop.requests[0].body.decode(), shop.requests[0].headers)

    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET previous_secret_until = now()")
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    assert len(shop.requests[1].headers["webhook-signature"].split()) == 1
    Webhook(new["secret"]).verify(shop.requests[1].body.decode(), shop.requests[1].headers)


def test_a_redelivered_event_is_unchanged(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    event = add_event(postgres, "mer_alice")
    _run(context, deliverer)
    response = webhook_endpoints.redeliver(context, _ALICE, _request(), event_id=event)
    assert json.loads(response.body)["webhook_endpoints"] == [endpoint["id"]]
    _run(context, deliverer)
    first, second = shop.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def test_a_new_endpoint_can_receive_an_old_event(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    event = add_event(postgres, "mer_alice")
    _register(context, shop.url)
    webhook_endpoints.redeliver(context, _ALICE, _request(), event_id=event)
    _run(context, deliverer)
    assert [request.headers["webhook-id"] for request in shop.requests] == [event]


def test_a_deleted_endpoint_receives_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    add_event(postgres, "mer_alice")
    fan_out(context)
    webhook_endpoints.delete(context, _ALICE, endpoint["id"])
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    assert shop.requests == []


def test_the_number_of_endpoints_is_limited(context: Context) -> None:
    for number in range(MAX_ENDPOINTS):
        _register(context, f"http://127.0.0.1:1/{number}")
    with pytest.raises(ValidationFailed, match="Delete one"):
        _register(context, "http://127.0.0.1:1/")


def test_the_limit_holds_for_creations_at_once(context: Context, postgres: Postgres) -> None:
    def create(number: int) -> bool:
        try:
            _register(context, f"http://127.0.0.1:1/{number}")
        except ValidationFailed:
            return False
        return True

    with ThreadPoolExecutor(40) as pool:
        made = list(pool.map(create, range(40)))
    assert made.count(True) == MAX_ENDPOINTS
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM webhook_endpoints").fetchone() == (MAX_ENDPOINTS,)
    _register(context, "http://127.0.0.1:1/", _BOB)  # nobody else's limit


def test_more_endpoints_than_the_limit_are_served(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left by a release that let creations race, or made before the limit was lowered."""
    monkeypatch.setattr(webhook_endpoints, "MAX_ENDPOINTS", MAX_ENDPOINTS + 5)
    endpoints = [_register(context, f"{shop.url}/{number}")["id"] for number in range(MAX_ENDPOINTS + 5)]
    monkeypatch.undo()
    event = add_event(postgres, "mer_alice")
    _run(context, deliverer)
    response = webhook_endpoints.redeliver(context, _ALICE, _request(), event_id=event)
    assert json.loads(response.body)["webhook_endpoints"] == sorted(endpoints)
    _run(context, deliverer)
    assert Counter(request.path for request in shop.requests) == {
        f"/hook/{number}": 2 for number in range(MAX_ENDPOINTS + 5)
    }


# ---- the clock ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_wrong_clock_changes_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, hours: int
) -> None:
    wrong = replace(context, now=lambda: datetime.now(UTC) + timedelta(hours=hours))
    endpoint = _register(wrong, shop.url)
    webhook_endpoints.rotate_secret(wrong, _ALICE, _request(), endpoint_id=endpoint["id"], overlap=timedelta(minutes=9))
    event = add_event(postgres, "mer_alice")
    off = DeliveryPool(wrong, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=8)
    _run(wrong, off)
    (received,) = shop.requests
    assert received.headers["webhook-id"] == event, "created after the endpoint"
    Webhook(endpoint["secret"]).verify(received.body.decode(), received.headers)  # also of the time, to five minutes
    with psycopg.connect(postgres.superuser) as connection:
        for column, table in (("created_at", "webhook_endpoints"), ("created_at", "webhook_deliveries")):
            ((age,),) = connection.execute(f"SELECT now() - {column} FROM {table}").fetchall()
            assert abs(age) < timedelta(minutes=5), table
        ids = [
            row[0]
            for row in connection.execute(
                "SELECT id FROM webhook_messages UNION SELECT id FROM"
                " webhook_deliveries UNION SELECT id FROM webhook_endpoints"
            )
        ]
        assert all(abs(datetime.now(UTC) - created_at(id_)) < timedelta(minutes=5) for id_ in ids)
        connection.execute(
            "UPDATE webhook_endpoints SET previous_secret_until = previous_secret_until - interval '10 min'"
        )
    add_event(postgres, "mer_alice")
    _run(wrong, off)
    off.close()
    assert len(shop.requests[1].headers["webhook-signature"].split()) == 1


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_wrong_clock_disables_in_time(context: Context, postgres: Postgres, shop: Receiver, hours: int) -> None:
    wrong = replace(context, now=lambda: datetime.now(UTC) + timedelta(hours=hours))
    shop.statuses = [500]
    for left, status in ((timedelta(minutes=30), "enabled"), (timedelta(minutes=-30), "disabled")):
        endpoint = _register(context, shop.url)["id"]
        add_event(postgres, "mer_alice")
        fan_out(context)
        with psycopg.connect(postgres.superuser) as connection:
            connection.execute("UPDATE webhook_messages SET attempts = %s", [domain.MAX_ATTEMPTS - 1])
            connection.execute(
                "UPDATE webhook_endpoints SET failing_since = now() - %s", [webhook_delivery.DISABLE_AFTER - left]
            )
        pool = DeliveryPool(wrong, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=8)
        _run(wrong, pool)
        pool.close()
        assert webhook_endpoints.get(context, _ALICE, endpoint).status == status
        webhook_endpoints.delete(context, _ALICE, endpoint)


@pytest.mark.parametrize("days", [-31, 31], ids=["behind", "ahead"])
def test_a_wrong_clock_deletes_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, days: int
) -> None:
    _register(context, shop.url)
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    assert not webhook_delivery.clean_up(replace(context, now=lambda: datetime.now(UTC) + timedelta(days=days)))


def _age(postgres: Postgres, time: timedelta) -> None:
    """Let time pass for every message and delivery; their ids tell it too."""
    with psycopg.connect(postgres.superuser) as connection:
        for table, prefix in (
            ("webhook_messages", Prefix.WEBHOOK_MESSAGE),
            ("webhook_deliveries", Prefix.WEBHOOK_DELIVERY),
        ):
            for number, (id_,) in enumerate(connection.execute(f"SELECT id FROM {table}").fetchall()):
                older = new_id(prefix, created_at(id_) - time - timedelta(milliseconds=number))
                connection.execute(f"UPDATE {table} SET id = %s WHERE id = %s", [older, id_])
        connection.execute("UPDATE webhook_messages SET settled_at = settled_at - %s", [time])


def test_deliveries_are_deleted_after_30_days(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    _age(postgres, timedelta(days=29))
    assert not webhook_delivery.clean_up(context)
    _age(postgres, timedelta(days=2))
    assert webhook_delivery.clean_up(context)
    assert webhook_endpoints.list_deliveries(context, _ALICE, endpoint["id"], before=None, limit=10) == []
    assert _messages(postgres) == []


def test_held_messages_are_deleted_after_30_days(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = _register(context, shop.url)["id"]
    webhook_endpoints.update(context, _ALICE, endpoint, EndpointUpdate(status="disabled"))
    add_event(postgres, "mer_alice")
    _run(context, deliverer)
    for days, kept in ((29, 1), (2, 0)):
        _age(postgres, timedelta(days=days))
        webhook_delivery.clean_up(context)
        assert len(_messages(postgres)) == kept


def test_the_backlog_is_what_is_due(context: Context, postgres: Postgres) -> None:
    _register(context, "http://127.0.0.1:1/")
    add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET next_attempt_at = now() - interval '1 minute'")
    housekeeping.measure_webhook_backlog(context)
    samples: dict[str, Any] = {name: document[name] for document in context.metrics.drain() for name in document}
    assert samples["WebhookBacklog"] == [1]
    assert samples["WebhookBacklogAge"][0] == pytest.approx(60, abs=10)
