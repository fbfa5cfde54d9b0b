"""Authentication: only the right key, only while it is valid, and cached for at most five seconds."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import werkzeug.http
from flask import Flask
from flask.testing import FlaskClient

from payments.domain import api_keys
from payments.domain.api_keys import Scope, StoredKey
from payments.web.http import auth, problems


class Keys:
    """Key rows in memory, counting reads."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredKey] = {}
        self.reads = 0

    def add(self, *, livemode: bool = False, **changes: Any) -> str:
        key_id = str(len(self.rows))
        text = api_keys.compose(livemode=livemode, key_id=key_id, secret=api_keys.new_secret())
        row = StoredKey(
            id=f"key_{key_id}",
            merchant_id="mer_1",
            livemode=livemode,
            secret_hash=api_keys.hash_token(text),
            scopes=frozenset({Scope.PAYMENTS_READ}),
            api_version="2026-11-01",
            expires_at=None,
            expires_in=None,
            revoked_at=None,
        )
        self.rows[row.id] = replace(row, **changes)
        return text

    def load(self, key_id: str) -> StoredKey | None:
        self.reads += 1
        return self.rows.get(key_id)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(keys: Keys, clock: Clock) -> Flask:
    app = Flask("auth-test", static_folder=None)
    problems.register(app)
    auth.register(app, auth.Authenticator(keys.load, allow_live_keys=False, clock=clock))

    @app.get("/read")
    def read() -> dict[str, str]:
        return {"merchant": auth.require(Scope.PAYMENTS_READ).merchant_id}

    @app.get("/write")
    def write() -> dict[str, str]:
        return {"merchant": auth.require(Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE).merchant_id}

    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def _get(client: FlaskClient, key: str, path: str = "/read") -> int:
    return client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code


def test_a_valid_key_identifies_its_merchant(client: FlaskClient, keys: Keys) -> None:
    key = keys.add()
    response = client.get("/read", headers={"Authorization": f"Bearer {key}"})
    assert response.get_json() == {"merchant": "mer_1"}


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic c2s6", "Bearer sk_test_0_short", "Bearer sk_prod_0_" + "a" * 43, "sk_test"],
)
def test_a_malformed_key_is_401(client: FlaskClient, keys: Keys, header: str) -> None:
    keys.add()
    response = client.get("/read", headers={"Authorization": header})
    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers


# ---- HTTP Basic, as in `curl -u sk_test_...:` ----------------------------------------
def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_a_key_is_accepted_as_a_user_name(client: FlaskClient, keys: Keys, scheme: str) -> None:
    key = keys.add()
    header = basic(f"{key}:").replace("Basic", scheme)
    assert client.get("/read", headers={"Authorization": header}).get_json() == {"merchant": "mer_1"}
    assert client.get("/read", auth=(key, "")).status_code == 200, "as an HTTP library sends it"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda key: basic(f"{key}:secret"), "leave the password empty"),
        (lambda key: basic(f"{key}::"), "leave the password empty"),
        (lambda key: basic(f":{key}"), "leave the password empty"),
        (lambda key: basic(key), "base64 of the key and a colon"),
        (lambda key: basic(f"{key}:")[:-1] + "!", "base64 of the key and a colon"),
        (lambda key: basic(f"{key}:").rstrip("=") + "A", "base64 of the key and a colon"),
        (lambda _: "Basic", "base64 of the key and a colon"),
        (lambda _: basic(b"\xff\xfe:"), "base64 of the key and a colon"),
        (lambda key: f"Basic {key}:", "base64 of the key and a colon"),
        (lambda key: f"{basic(f'{key}:')},Bearer {key}", "one Authorization header"),
        (lambda key: f"Bearer {key},{basic(f'{key}:')}", "one Authorization header"),
        (lambda key: f"Bearer {key}, Bearer {key}", "one Authorization header"),
        (lambda key: basic(f"{key}x:"), "neither expired nor revoked"),
        (lambda key: basic(f"user{key}:"), "neither expired nor revoked"),
        (lambda _: basic(":"), "neither expired nor revoked"),
        (lambda key: f"Digest {key}", "neither expired nor revoked"),
    ],
)
def test_other_forms_say_what_to_send(client: FlaskClient, keys: Keys, make: Callable[[str], str], said: str) -> None:
    key = keys.add()
    refused = client.get("/read", headers={"Authorization": make(key)})
    assert refused.status_code == 401
    assert said in refused.get_json(force=True)["detail"]
    assert key not in refused.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}])
def test_the_challenges_are_those_that_are_met(client: FlaskClient, headers: dict[str, str]) -> None:
    """RFC 9110, 11.6.1: a list of challenges; RFC 7617: the user name is UTF-8."""
    found = werkzeug.http.parse_list_header(client.get("/read", headers=headers).headers["WWW-Authenticate"])
    assert found == ['Bearer realm="payments"', 'Basic realm="payments"', 'charset="UTF-8"']


def test_no_header_is_401(client: FlaskClient) -> None:
    assert client.get("/read").status_code == 401


def test_one_wrong_character_is_401(client: FlaskClient, keys: Keys) -> None:
    key = keys.add()
    assert _get(client, key[:-1] + ("b" if key[-1] == "a" else "a")) == 401
    assert _get(client, key.replace("_0_", "_9_")) == 401


def test_two_keys_in_one_header_are_401(client: FlaskClient, keys: Keys) -> None:
    key = keys.add()
    assert _get(client, f"{key},Bearer {key}") == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"revoked_at": datetime.now(UTC)},
        {"expires_in": timedelta(0)},
        {"expires_in": -timedelta(days=1)},
    ],
)
def test_revoked_expired_and_unknown_keys_look_the_same(
    client: FlaskClient, keys: Keys, changes: dict[str, Any]
) -> None:
    dead = client.get("/read", headers={"Authorization": f"Bearer {keys.add(**changes)}"})
    unknown = client.get("/read", headers={"Authorization": "Bearer sk_test_x_" + "a" * 43})
    assert dead.status_code == 401
    assert dead.get_json(force=True)["detail"] == unknown.get_json(force=True)["detail"]


def test_a_key_that_expires_later_works_until_then(client: FlaskClient, keys: Keys, clock: Clock) -> None:
    """In the cache too, and by the time left when it was read: what this machine takes for the date is irrelevant."""
    key = keys.add(expires_in=timedelta(seconds=3))
    assert _get(client, key) == 200
    clock.now += 2.9
    assert _get(client, key) == 200
    clock.now += 0.1
    assert _get(client, key) == 401
    assert keys.reads == 1


def test_live_keys_work_only_where_allowed(client: FlaskClient, app: Flask, keys: Keys) -> None:
    key = keys.add(livemode=True)
    assert _get(client, key) == 401
    auth.register(app, auth.Authenticator(keys.load, allow_live_keys=True))
    assert _get(client, key) == 200


def test_the_mode_in_a_key_cannot_be_changed(app: Flask, client: FlaskClient, keys: Keys) -> None:
    key = keys.add()
    auth.register(app, auth.Authenticator(keys.load, allow_live_keys=True))
    assert _get(client, key.replace("sk_test_", "sk_live_")) == 401


def test_a_missing_scope_is_403_and_named(client: FlaskClient, keys: Keys) -> None:
    response = client.get("/write", headers={"Authorization": f"Bearer {keys.add()}"})
    assert response.status_code == 403
    assert response.get_json(force=True)["scopes"] == ["payments:write"]


def test_a_key_is_cached_for_five_seconds(client: FlaskClient, keys: Keys, clock: Clock) -> None:
    key = keys.add()
    assert [_get(client, key) for _ in range(5)] == [200] * 5
    assert keys.reads == 1
    keys.rows["key_0"] = replace(keys.rows["key_0"], revoked_at=datetime.now(UTC))
    clock.now += 4.9
    assert _get(client, key) == 200
    clock.now += 0.2
    assert _get(client, key) == 401


def test_a_forgotten_key_is_read_again(client: FlaskClient, app: Flask, keys: Keys) -> None:
    key = keys.add()
    assert _get(client, key) == 200
    keys.rows["key_0"] = replace(keys.rows["key_0"], revoked_at=datetime.now(UTC))
    with app.app_context():
        auth.authenticator().forget("key_0")
    assert _get(client, key) == 401


def test_unknown_keys_are_not_cached(client: FlaskClient, keys: Keys) -> None:
    key = keys.add()
    row = keys.rows.pop("key_0")
    assert _get(client, key) == 401
    keys.rows["key_0"] = row
    assert _get(client, key) == 200


def test_uses_are_collected(client: FlaskClient, app: Flask, keys: Keys, clock: Clock) -> None:
    first, second = keys.add(), keys.add()
    for key in (first, second, first):
        _get(client, key)
        clock.now += 1
    _get(client, first[:-1] + "!")
    with app.app_context():
        used = auth.authenticator().take_used()
        assert used == {"key_0": timedelta(seconds=1), "key_1": timedelta(seconds=2)}
        assert auth.authenticator().take_used() == {}


def test_the_cache_is_bounded(keys: Keys, monkeypatch: pytest.MonkeyPatch, app: Flask, client: FlaskClient) -> None:
    monkeypatch.setattr(auth, "_CACHE_ENTRIES", 2)
    made = [keys.add() for _ in range(5)]
    assert [_get(client, key) for key in made] == [200] * 5
    with app.app_context():
        assert len(auth.authenticator()._cache) <= 2
