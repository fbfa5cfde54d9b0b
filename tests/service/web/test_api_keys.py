"""API keys over HTTP: shown once, never stronger than their creator, rotated without a gap, revoked at once."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from payments.domain.api_keys import Scope
from payments.repositories import api_keys
from payments.repositories.database import Database
from payments.web.http import auth
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key


@pytest.fixture
def alice(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def _create(client: Client, *, key: str | None = None, **changes: Any) -> TestResponse:
    return client.post("/v1/api_keys", {"name": "shop", "scopes": ["payments:read"], **changes}, key=key)


def _status(http: FlaskClient, token: str, path: str = "/v1/payments") -> int:
    return http.get(path, headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_new_key_works_at_once_with_its_scopes_only(alice: Client) -> None:
    made = alice.json(_create(alice))
    assert made["secret"].startswith("sk_test_")
    assert made["status"] == "active"
    assert _status(alice.http(), made["secret"]) == 200
    assert _status(alice.http(), made["secret"], "/v1/events") == 403


def test_a_secret_is_returned_once_and_stored_nowhere(alice: Client, postgres: Postgres) -> None:
    first = _create(alice, key="once")
    again = _create(alice, key="once")
    secret = first.get_json()["secret"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == {**first.get_json(), "secret": None}
    listed = alice.json(alice.get("/v1/api_keys"))
    assert all(found["secret"] is None for found in listed["data"])
    with psycopg.connect(postgres.superuser) as connection:
        for table in ("api_keys", "idempotency_keys", "audit_log"):
            dump = json.dumps(connection.execute(f"SELECT to_jsonb({table}) FROM {table}").fetchall())
            assert secret not in dump
            assert secret.rpartition("_")[2] not in dump


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["payments:fly"]},
        {"scopes": "payments:read"},
        {"name": ""},
        {"name": "n" * 101},
        {"expires_at": 1},
        {"expires_at": 10**12},
        {"expires_at": "2030"},
        {"livemode": True},
    ],
)
def test_an_invalid_key_is_rejected(alice: Client, changes: dict[str, Any]) -> None:
    assert _create(alice, **changes).status_code == 422


def test_a_key_grants_only_its_own_scopes(database: Database, journal: Database, postgres: Postgres) -> None:
    weak = make_key(postgres, "mer_alice", scopes=frozenset({Scope.API_KEYS_WRITE, Scope.PAYMENTS_READ}))
    client = Client(sandbox_context(database, journal), weak)
    assert _create(client, scopes=["payments:read"]).status_code == 201
    refused = _create(client, scopes=["payments:read", "payments:write"])
    assert (refused.status_code, refused.get_json(force=True)["scopes"]) == (403, ["payments:write"])


def test_a_key_cannot_rotate_a_stronger_one(
    alice: Client, database: Database, journal: Database, postgres: Postgres
) -> None:
    strong = alice.json(_create(alice, scopes=["payments:write"]))["id"]
    weak = Client(
        sandbox_context(database, journal), make_key(postgres, "mer_alice", scopes=frozenset({Scope.API_KEYS_WRITE}))
    )
    assert weak.post(f"/v1/api_keys/{strong}/rotate").status_code == 403


def test_a_key_cannot_create_one_that_outlives_it(alice: Client) -> None:
    soon = int(time.time()) + 1000
    made = alice.json(_create(alice, scopes=["api_keys:write"], expires_at=soon))
    child = Client(alice.context, ApiKey(merchant_id="mer_alice", livemode=False, token=made["secret"]))
    assert _create(child, scopes=["api_keys:write"]).status_code == 403
    assert _create(child, scopes=["api_keys:write"], expires_at=soon + 1).status_code == 403
    assert _create(child, scopes=["api_keys:write"], expires_at=soon).status_code == 201


def test_both_keys_work_until_the_overlap_ends(alice: Client, postgres: Postgres) -> None:
    old = alice.json(_create(alice))
    new = alice.json(alice.post(f"/v1/api_keys/{old['id']}/rotate", {"overlap": 3600}))
    assert new["scopes"] == old["scopes"]
    http = alice.http()
    assert [_status(http, found["secret"]) for found in (old, new)] == [200, 200]
    listed = {found["id"]: found for found in alice.json(alice.get("/v1/api_keys"))["data"]}
    assert listed[old["id"]]["replaced_by"] == new["id"]
    assert abs(listed[old["id"]]["expires_at"] - time.time() - 3600) < 60
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", [old["id"]])
    with alice.app.app_context():
        auth.authenticator().forget(old["id"])
    assert [_status(http, found["secret"]) for found in (old, new)] == [401, 200]


def test_without_overlap_the_old_key_ends_at_once(alice: Client) -> None:
    old = alice.json(_create(alice))
    assert _status(alice.http(), old["secret"]) == 200
    alice.json(alice.post(f"/v1/api_keys/{old['id']}/rotate", {"overlap": 0}))
    assert _status(alice.http(), old["secret"]) == 401


@pytest.mark.parametrize(("life", "left"), [(600, 600), (86400, 3600)], ids=["ends before it", "ends after it"])
def test_the_overlap_never_prolongs_a_key(alice: Client, life: int, left: int) -> None:
    old = alice.json(_create(alice, expires_at=int(time.time()) + life))["id"]
    alice.json(alice.post(f"/v1/api_keys/{old}/rotate", {"overlap": 3600}))
    (found,) = (key for key in alice.json(alice.get("/v1/api_keys"))["data"] if key["id"] == old)
    assert abs(found["expires_at"] - time.time() - left) < 60


def test_replays_work_across_a_rotation(alice: Client) -> None:
    old = alice.json(_create(alice, scopes=["payments:write", "api_keys:write"]))
    first = Client(alice.context, ApiKey(merchant_id="mer_alice", livemode=False, token=old["secret"]))
    made = first.create(key="order-1")
    new = alice.json(alice.post(f"/v1/api_keys/{old['id']}/rotate"))
    second = Client(alice.context, ApiKey(merchant_id="mer_alice", livemode=False, token=new["secret"]))
    replay = second.create(key="order-1")
    assert replay.headers["Idempotency-Replayed"] == "true"
    assert replay.data == made.data


def test_a_key_is_rotated_once(alice: Client) -> None:
    old = alice.json(_create(alice))["id"]
    alice.json(alice.post(f"/v1/api_keys/{old}/rotate"))
    again = alice.post(f"/v1/api_keys/{old}/rotate")
    assert again.status_code == 409
    assert again.get_json(force=True)["state"] == "replaced"
    assert again.get_json(force=True)["allowed"] == ["revoke"]


def test_a_revoked_key_stops_working_at_once_and_for_good(alice: Client) -> None:
    made = alice.json(_create(alice))
    assert _status(alice.http(), made["secret"]) == 200
    revoked = alice.json(alice.post(f"/v1/api_keys/{made['id']}/revoke"))
    assert revoked["status"] == "revoked"
    assert _status(alice.http(), made["secret"]) == 401
    again = alice.json(alice.post(f"/v1/api_keys/{made['id']}/revoke"))
    assert again["revoked_at"] == revoked["revoked_at"]
    assert alice.post(f"/v1/api_keys/{made['id']}/rotate").status_code == 409


def test_other_processes_reject_a_revoked_key_in_five_seconds(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = alice.json(_create(alice))
    other = Client(alice.context, alice.key)
    assert _status(other.http(), made["secret"]) == 200
    alice.json(alice.post(f"/v1/api_keys/{made['id']}/revoke"))
    assert _status(other.http(), made["secret"]) == 200
    with other.app.app_context():
        monkeypatch.setattr(auth.authenticator(), "_clock", lambda: time.monotonic() + auth.CACHE_SECONDS)
    assert _status(other.http(), made["secret"]) == 401


def test_keys_are_listed_newest_first_in_pages(alice: Client) -> None:
    made = [alice.json(_create(alice, name=str(number)))["id"] for number in range(5)]
    # The fixture's own key has an id without a time in it, which sorts first.
    first = alice.json(alice.get("/v1/api_keys", limit=3))
    assert [found["id"] for found in first["data"]][1:] == made[:2:-1]
    alice.json(_create(alice))  # does not shift the next page
    second = alice.json(alice.get("/v1/api_keys", limit=2, cursor=first["next_cursor"]))
    assert [found["id"] for found in second["data"]] == made[2:0:-1]


def test_last_use_is_written_in_batches_and_never_goes_back(alice: Client, database: Database) -> None:
    made = alice.json(_create(alice))
    _status(alice.http(), made["secret"])
    with alice.app.app_context():
        used = auth.authenticator().take_used()
    assert made["id"] in used
    for shift in (timedelta(0), timedelta(hours=1)):
        with database.transaction() as tx:
            api_keys.write_last_used(tx, {name: ago + shift for name, ago in used.items()})
            tx.commit()
    (found,) = [key for key in alice.json(alice.get("/v1/api_keys"))["data"] if key["id"] == made["id"]]
    assert abs(found["last_used_at"] - time.time()) < 60


def test_a_scope_of_a_later_release_grants_nothing(postgres: Postgres, database: Database) -> None:
    key = make_key(postgres, "mer_alice", scopes=frozenset({Scope.PAYMENTS_READ}))
    key_id = "key_" + key.token.split("_")[2]
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE api_keys SET scopes = scopes || ARRAY['rockets:launch'] WHERE id = %s", [key_id])
    with database.transaction() as tx:
        stored = api_keys.load(tx, key_id)
    assert stored is not None
    assert stored.scopes == {Scope.PAYMENTS_READ}


def test_every_act_is_audited(alice: Client, postgres: Postgres) -> None:
    made = alice.json(_create(alice))["id"]
    alice.json(alice.post(f"/v1/api_keys/{made}/rotate"))
    alice.json(alice.post(f"/v1/api_keys/{made}/revoke"))
    actor = "key_" + alice.key.token.split("_")[2]
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute(
            "SELECT action, actor, merchant_id FROM audit_log WHERE subject = %s ORDER BY id", [made]
        ).fetchall()
    acts = ["api_key.create", "api_key.rotate", "api_key.revoke"]
    assert rows == [(act, actor, "mer_alice") for act in acts]


def test_a_failed_rotation_frees_its_idempotency_key(alice: Client) -> None:
    key = uuid.uuid4().hex
    refused = alice.post("/v1/api_keys/key_nobody/rotate", key=key)
    assert refused.status_code == 404
    assert _create(alice, key=key).status_code == 201


def test_expiry_is_in_unix_seconds(alice: Client) -> None:
    end = int((datetime.now(UTC) + timedelta(days=1)).timestamp())
    assert alice.json(_create(alice, expires_at=end))["expires_at"] == end
