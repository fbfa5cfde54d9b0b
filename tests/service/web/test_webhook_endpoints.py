"""Webhook endpoints over HTTP: public addresses only, secrets shown once, held messages delivered later."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from standardwebhooks.webhooks import Webhook
from werkzeug.test import TestResponse

from payments.delivery.sender import Sender
from payments.repositories.database import Database
from payments.services.webhook_delivery import fan_out
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.receivers import Receiver, receiver

_URL = "https://shop.example/hook"


@pytest.fixture
def alice(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


@pytest.fixture
def local(database: Database, journal: Database, key: ApiKey) -> Client:
    """A client of a service that may call this machine."""
    return Client(replace(sandbox_context(database, journal), allow_local_webhooks=True), key)


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def _create(client: Client, *, key: str | None = None, **changes: Any) -> TestResponse:
    return client.post("/v1/webhook_endpoints", {"url": _URL, **changes}, key=key)


def _patch(client: Client, endpoint: str, body: dict[str, Any]) -> TestResponse:
    return client.http().patch(f"/v1/webhook_endpoints/{endpoint}", json=body, headers=client.key.headers)


def _deliver(client: Client) -> None:
    deliverer = DeliveryPool(client.context, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=4)
    while fan_out(client.context):
        pass
    while deliverer.run():
        deliverer.wait_until_idle()
    deliverer.close()


def test_the_secret_is_returned_once(alice: Client, postgres: Postgres) -> None:
    first = _create(alice, key="once")
    assert first.status_code == 201
    made = first.get_json()
    assert made["secret"].startswith("whsec_")
    assert (made["status"], made["event_types"]) == ("enabled", ["*"])
    again = _create(alice, key="once")
    assert again.get_json() == {**made, "secret": None}
    assert alice.json(alice.get(f"/v1/webhook_endpoints/{made['id']}"))["secret"] is None
    with psycopg.connect(postgres.superuser) as connection:
        kept = json.dumps(connection.execute("SELECT response_body FROM idempotency_keys").fetchall())
    assert made["secret"] not in kept


@pytest.mark.parametrize(
    "url",
    ["http://shop.example/", "https://127.0.0.1/", "https://169.254.169.254/", "https://10.0.0.1/", "https://localhost/",
     "https://shop.example:8443/", "https://user:pass@shop.example/", "ftp://shop.example/", "", "x" * 3000],
)  # fmt: skip
def test_forbidden_urls_are_rejected(alice: Client, url: str) -> None:
    made = alice.json(_create(alice))["id"]
    for response in (_create(alice, url=url), _patch(alice, made, {"url": url})):
        assert response.status_code == 422
        assert response.get_json(force=True)["errors"][0]["pointer"] == "#/url"


@pytest.mark.parametrize("types", [[], ["payment.exploded"], "payment.succeeded", ["*", 1]])
def test_event_types_are_checked(alice: Client, types: object) -> None:
    assert _create(alice, event_types=types).status_code == 422


def test_local_addresses_need_permission(alice: Client, local: Client) -> None:
    assert _create(alice, url="http://127.0.0.1:1234/").status_code == 422
    assert _create(local, url="http://127.0.0.1:1234/").status_code == 201


def test_an_event_reaches_its_receiver(local: Client, shop: Receiver) -> None:
    made = local.json(_create(local, url=shop.url))
    payment = local.create().get_json()
    local.json(local.post(f"/v1/payments/{payment['id']}/refunds", {"amount": 1}))
    _deliver(local)
    bodies = [Webhook(made["secret"]).verify(request.body.decode(), request.headers) for request in shop.requests]
    delivered = sorted((body["sequence"], body["type"], body["payment"]) for body in bodies)
    assert delivered == [(1, "payment.succeeded", payment["id"]), (2, "refund.succeeded", payment["id"])]
    listed = local.json(local.get(f"/v1/payments/{payment['id']}/events"))["data"]
    assert sorted(bodies, key=lambda body: -int(body["sequence"])) == listed


def test_messages_are_held_while_disabled(local: Client, shop: Receiver) -> None:
    made = local.json(_create(local, url=shop.url))["id"]
    disabled = local.json(_patch(local, made, {"status": "disabled"}))
    assert disabled["disabled_reason"] == "requested"
    local.create()
    _deliver(local)
    assert shop.requests == []
    assert local.json(_patch(local, made, {"status": "enabled"}))["disabled_reason"] is None
    _deliver(local)
    assert len(shop.requests) == 1


def test_omitted_fields_stay_unchanged(alice: Client) -> None:
    made = alice.json(_create(alice, description="d", event_types=["refund.failed"]))
    changed = alice.json(_patch(alice, made["id"], {"description": "e"}))
    assert changed == {**made, "description": "e", "secret": None}
    changed = alice.json(_patch(alice, made["id"], {"url": _URL + "2", "event_types": ["*"]}))
    assert (changed["url"], changed["event_types"], changed["description"]) == (_URL + "2", ["*"], "e")
    assert alice.json(_patch(alice, made["id"], {"description": None})) == {**changed, "description": None}


def test_a_deleted_endpoint_is_not_found(alice: Client) -> None:
    made = alice.json(_create(alice))["id"]
    response = alice.http().delete(f"/v1/webhook_endpoints/{made}", headers=alice.key.headers)
    assert response.get_json() == {"id": made, "object": "webhook_endpoint", "deleted": True}
    assert alice.get(f"/v1/webhook_endpoints/{made}").status_code == 404
    assert alice.json(alice.get("/v1/webhook_endpoints"))["data"] == []


def test_a_deleted_endpoints_secrets_are_nowhere(alice: Client, postgres: Postgres) -> None:
    made = alice.json(_create(alice))
    path = f"/v1/webhook_endpoints/{made['id']}"
    rotated = alice.json(alice.post(f"{path}/rotate_secret", {"overlap": 60}, key="rotate"))
    alice.http().delete(path, headers=alice.key.headers)
    with psycopg.connect(postgres.owner) as connection:
        (row,) = connection.execute("SELECT webhook_endpoints::text FROM webhook_endpoints").fetchall()
    assert made["secret"] not in row[0]
    assert rotated["secret"] not in row[0]


def test_a_rotated_secret_signs_with_both_for_the_overlap(local: Client, shop: Receiver) -> None:
    made = local.json(_create(local, url=shop.url))
    path = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    rotated = local.json(local.post(path, {"overlap": 60}, key="rotate"))
    assert rotated["secret"] != made["secret"]
    assert local.post(path, {"overlap": 60}, key="rotate").get_json()["secret"] is None
    local.create()
    _deliver(local)
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(shop.requests[0].body.decode(), shop.requests[0].headers)
    local.json(local.post(path, {"overlap": 0}))
    local.create()
    _deliver(local)
    assert len(shop.requests[1].headers["webhook-signature"].split(" ")) == 1


def test_redelivery_sends_the_same_event_again(local: Client, shop: Receiver) -> None:
    made = local.json(_create(local, url=shop.url))["id"]
    local.create()
    _deliver(local)
    event = shop.requests[0].headers["webhook-id"]
    response = local.post(f"/v1/events/{event}/redeliver")
    assert response.status_code == 202
    assert response.get_json() == {"object": "event_redelivery", "event": event, "webhook_endpoints": [made]}
    _deliver(local)
    assert [request.headers["webhook-id"] for request in shop.requests] == [event, event]
    assert shop.requests[0].body == shop.requests[1].body
    log = local.json(local.get(f"/v1/webhook_endpoints/{made}/deliveries"))["data"]
    assert [(entry["event"], entry["status_code"], entry["error"]) for entry in log] == [(event, 200, None)] * 2


def test_endpoints_and_deliveries_are_paged(local: Client, shop: Receiver) -> None:
    made = [local.json(_create(local, url=f"{shop.url}/{number}"))["id"] for number in range(3)]
    page = local.json(local.get("/v1/webhook_endpoints", limit=2))
    assert [found["id"] for found in page["data"]] == made[:0:-1]
    rest = local.json(local.get("/v1/webhook_endpoints", limit=2, cursor=page["next_cursor"]))
    assert ([found["id"] for found in rest["data"]], rest["has_more"]) == (made[:1], False)
    for _ in range(3):
        local.create()
    _deliver(local)
    path = f"/v1/webhook_endpoints/{made[0]}/deliveries"
    page = local.json(local.get(path, limit=2))
    rest = local.json(local.get(path, limit=2, cursor=page["next_cursor"]))
    assert len({entry["id"] for entry in page["data"] + rest["data"]}) == 3


def test_every_act_is_audited(alice: Client, postgres: Postgres) -> None:
    made = alice.json(_create(alice))["id"]
    _patch(alice, made, {"description": "d"})
    alice.post(f"/v1/webhook_endpoints/{made}/rotate_secret")
    alice.http().delete(f"/v1/webhook_endpoints/{made}", headers=alice.key.headers)
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute("SELECT action FROM audit_log WHERE subject = %s ORDER BY id", [made]).fetchall()
    acts = ["create", "update", "rotate_secret", "delete"]
    assert [row[0] for row in rows] == [f"webhook_endpoint.{act}" for act in acts]
