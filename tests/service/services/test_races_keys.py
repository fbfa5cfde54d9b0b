"""A credential ends for everybody at once: what it grants, rotates or deletes is decided under its row's lock.

Every process caches keys for up to five seconds, so each test acts through a process that still takes the key for
valid. Orders are made, not awaited: whoever goes first is held inside its transaction until the other one waits.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from werkzeug.test import TestResponse

from payments.domain.api_keys import ALL_SCOPES, Scope
from payments.repositories import audit
from payments.repositories.database import Database
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key
from tests.service.scripted import execute
from tests.waiting import wait_until

Act = Callable[["Shop"], TestResponse]
_FIRST = "first"


def key_id(key: ApiKey) -> str:
    return "key_" + key.token.split("_")[2]


class Shop:
    """One merchant: a process with the key `parent` in its cache, another that ends it, and things to act on."""

    def __init__(self, database: Database, journal: Database, postgres: Postgres) -> None:
        context = sandbox_context(database, journal)
        self.postgres = postgres
        self.parent, self.other = make_key(postgres, "mer_alice"), make_key(postgres, "mer_alice")
        self.client, self.admin = Client(context, self.parent), Client(context, self.other)
        self.third = key_id(make_key(postgres, "mer_alice"))
        self.endpoint = str(self.admin.json(new_endpoint(self.admin))["id"])
        assert self.client.get("/v1/api_keys").status_code == 200, "the key is cached"

    def state(self) -> list[tuple[Any, ...]]:
        """Return everything that the acts change."""
        keys = execute(self.postgres, "SELECT id, expires_at, revoked_at, replaced_by FROM api_keys WHERE id <> %s",
                       key_id(self.parent))  # fmt: skip
        endpoints = execute(self.postgres, "SELECT id, url, secret, deleted_at FROM webhook_endpoints")
        return sorted(keys) + sorted(endpoints)


def new_endpoint(client: Client) -> TestResponse:
    return client.post("/v1/webhook_endpoints", {"url": "https://shop.example/", "event_types": ["payment.succeeded"]})


def new_key(client: Client, **changes: Any) -> TestResponse:
    return client.post("/v1/api_keys", {"name": "successor", "scopes": ["payments:write"], **changes})


def endpoint_request(shop: Shop, method: str, body: object = None) -> TestResponse:
    path = f"/v1/webhook_endpoints/{shop.endpoint}"
    return shop.client.http().open(path, method=method, json=body, headers=shop.parent.headers)


#: Everything that grants, rotates or ends a credential.
ACTS: dict[str, Act] = {
    "create key": lambda shop: new_key(shop.client),
    "rotate other": lambda shop: shop.client.post(f"/v1/api_keys/{shop.third}/rotate"),
    "rotate itself": lambda shop: shop.client.post(f"/v1/api_keys/{key_id(shop.parent)}/rotate"),
    "revoke other": lambda shop: shop.client.post(f"/v1/api_keys/{shop.third}/revoke"),
    "create endpoint": lambda shop: new_endpoint(shop.client),
    "move endpoint": lambda shop: endpoint_request(shop, "PATCH", {"url": "https://other.example/"}),
    "rotate secret": lambda shop: shop.client.post(f"/v1/webhook_endpoints/{shop.endpoint}/rotate_secret"),
    "delete endpoint": lambda shop: endpoint_request(shop, "DELETE"),
}
#: How a key loses its rights, and what its holder is told.
ENDS = {
    "revoked": ("revoked_at = now()", 401),
    "expired": ("expires_at = now()", 401),
    "narrowed": ("scopes = '{payments:write}'", 403),
}


@pytest.fixture
def shop(database: Database, journal: Database, postgres: Postgres) -> Shop:
    return Shop(database, journal, postgres)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("act", ACTS)
def test_an_ended_key_is_refused(shop: Shop, act: str, end: str) -> None:
    change, status = ENDS[end]
    execute(shop.postgres, f"UPDATE api_keys SET {change} WHERE id = %s", key_id(shop.parent))
    before = shop.state()
    assert ACTS[act](shop).status_code == status
    assert shop.state() == before


def test_a_lost_scope_is_not_granted(shop: Shop) -> None:
    execute(shop.postgres, "UPDATE api_keys SET scopes = '{api_keys:write,payments:read}' WHERE id = %s",
            key_id(shop.parent))  # fmt: skip
    refused = new_key(shop.client)
    assert (refused.status_code, refused.get_json()["scopes"]) == (403, ["payments:write"])
    assert shop.client.post(f"/v1/api_keys/{shop.third}/rotate").status_code == 403
    assert new_key(shop.client, scopes=["payments:read"]).status_code == 201


def test_a_rotated_key_grants_its_overlap_only(shop: Shop) -> None:
    shop.admin.json(shop.admin.post(f"/v1/api_keys/{key_id(shop.parent)}/rotate", {"overlap": 600}))
    soon = int(time.time()) + 300
    assert new_key(shop.client).status_code == 403, "it would outlive its creator"
    assert new_key(shop.client, expires_at=soon + 3600).status_code == 403
    assert new_key(shop.client, expires_at=soon).status_code == 201


# ---- orders ----------------------------------------
@dataclass(frozen=True)
class Hold:
    """Where the thread named `first` stops: at the end of its transaction, with all its locks."""

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    """Hold the thread named `first` until it is released."""
    hold, record = Hold(), audit.record

    def record_and_hold(*arguments: Any, **named: Any) -> None:
        record(*arguments, **named)
        if threading.current_thread().name == _FIRST:
            hold.reached.set()
            assert hold.release.wait(30)

    monkeypatch.setattr(audit, "record", record_and_hold)
    yield hold
    hold.release.set()


def in_order(postgres: Postgres, hold: Hold, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Run both, `second` only while `first` holds its locks; return their results."""
    results: dict[str, Any] = {}

    def start(name: str, function: Callable[[], Any]) -> threading.Thread:
        thread = threading.Thread(target=lambda: results.update({name: function()}), name=name)
        thread.start()
        return thread

    one = start(_FIRST, first)
    # Between two statements it is idle as well, before it has all its locks.
    wait_until(lambda: hold.reached.is_set() or results, "the first to end its transaction")
    wait_until(lambda: sessions(postgres, "state = 'idle in transaction'") or results, "the first to hold its locks")
    other = start("second", second)
    wait_until(lambda: sessions(postgres, "wait_event_type = 'Lock'") or "second" in results, "the second to wait")
    hold.release.set()
    one.join(30)
    other.join(30)
    return results[_FIRST], results["second"]


def sessions(postgres: Postgres, condition: str) -> int:
    count = f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'payments_service' AND {condition}"
    return int(execute(postgres, count)[0][0])


@pytest.mark.parametrize("act_is_first", [True, False], ids=["act, revoke", "revoke, act"])
@pytest.mark.parametrize("act", ACTS)
def test_act_and_revocation(shop: Shop, held: Hold, act: str, act_is_first: bool) -> None:
    before = shop.state()

    def revoke() -> int:
        return shop.admin.post(f"/v1/api_keys/{key_id(shop.parent)}/revoke").status_code

    def do() -> int:
        return ACTS[act](shop).status_code

    if act_is_first:
        done, revoked = in_order(shop.postgres, held, do, revoke)
        assert (done in {200, 201, 204}, revoked) == (True, 200)
        assert shop.state() != before
    else:
        revoked, done = in_order(shop.postgres, held, revoke, do)
        assert (revoked, done) == (200, 401)
        assert shop.state() == before


@pytest.mark.parametrize("first", ["create", "rotate"])
def test_a_creation_and_a_rotation_without_overlap(shop: Shop, held: Hold, first: str) -> None:
    acts: dict[str, Callable[[], int]] = {
        "create": lambda: new_key(shop.client).status_code,
        "rotate": lambda: shop.admin.post(f"/v1/api_keys/{key_id(shop.parent)}/rotate", {"overlap": 0}).status_code,
    }
    second = "rotate" if first == "create" else "create"
    results = in_order(shop.postgres, held, acts[first], acts[second])
    assert results == ((201, 201) if first == "create" else (201, 401))


@pytest.mark.parametrize("verb", ["revoke", "rotate"])
def test_two_keys_that_end_each_other(shop: Shop, held: Hold, verb: str) -> None:
    """Locks in one order: no deadlock, and of two revocations the first one wins."""
    body = {"overlap": 0} if verb == "rotate" else {}
    first, second = in_order(
        shop.postgres,
        held,
        lambda: shop.client.post(f"/v1/api_keys/{key_id(shop.other)}/{verb}", body).status_code,
        lambda: shop.admin.post(f"/v1/api_keys/{key_id(shop.parent)}/{verb}", body).status_code,
    )
    assert (first, second) == (200 if verb == "revoke" else 201, 401)


def test_two_rotations_of_one_key(shop: Shop, held: Hold) -> None:
    def rotate(client: Client) -> Callable[[], int]:
        return lambda: client.post(f"/v1/api_keys/{shop.third}/rotate").status_code

    assert in_order(shop.postgres, held, rotate(shop.client), rotate(shop.admin)) == (201, 409)


@pytest.mark.parametrize("act", ACTS)
def test_a_key_expires_while_it_waits(shop: Shop, act: str) -> None:
    """The time that counts is the one at which the lock is held, not that of the request's arrival."""
    import psycopg

    execute(shop.postgres, "UPDATE api_keys SET expires_at = clock_timestamp() + interval '0.4 s' WHERE id = %s",
            key_id(shop.parent))  # fmt: skip
    before, results = shop.state(), list[int]()
    with psycopg.connect(shop.postgres.superuser) as holder:
        holder.execute("SELECT 1 FROM api_keys FOR UPDATE")
        thread = threading.Thread(target=lambda: results.append(ACTS[act](shop).status_code))
        thread.start()
        wait_until(lambda: sessions(shop.postgres, "wait_event_type = 'Lock'") or results, "the act to wait")
        ended = "SELECT 1 FROM api_keys WHERE id = %s AND expires_at <= clock_timestamp()"
        wait_until(lambda: holder.execute(ended, [key_id(shop.parent)]).fetchone(), "the key's end")
    thread.join(30)
    assert results == [401]
    assert shop.state() == before


def test_the_scopes_of_this_file_are_all_there_are() -> None:
    """An act of a new scope belongs here if it grants, rotates or ends a credential."""
    writes = {scope for scope in ALL_SCOPES if scope.endswith(":write")}
    assert writes == {Scope.PAYMENTS_WRITE, Scope.REFUNDS_WRITE, Scope.WEBHOOKS_WRITE, Scope.API_KEYS_WRITE}
