"""API keys: their format, that only the right one matches, and that none grants more than it has."""

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain import api_keys
from payments.domain.api_keys import ALL_SCOPES, Principal, Scope, StoredKey, Token
from payments.domain.api_versions import API_VERSIONS, CURRENT_API_VERSION
from tests.service.domain.samples import NOW

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_IDS = st.text(_LETTERS + "-", min_size=1, max_size=64)
_SECRETS = st.text(_LETTERS, min_size=43, max_size=128)
_SECRET = "s" * 43


def stored(text: str) -> StoredKey:
    return StoredKey(
        id="key_abc",
        merchant_id="mer_1",
        livemode=False,
        secret_hash=api_keys.hash_token(text),
        scopes=frozenset({Scope.PAYMENTS_READ}),
        api_version=CURRENT_API_VERSION,
        expires_at=None,
        expires_in=None,
        revoked_at=None,
    )


def test_a_secret_has_256_bits() -> None:
    secrets = [api_keys.new_secret() for _ in range(200)]
    assert all(re.fullmatch("[0-9A-Za-z]{43}", secret) for secret in secrets)
    assert 62**43 > 2**256
    assert len(set(secrets)) == len(secrets)
    assert set("".join(secrets)) == set(_LETTERS), "every character is used"


@given(st.booleans(), _IDS, _SECRETS)
def test_a_key_tells_its_mode_and_its_id(livemode: bool, key_id: str, secret: str) -> None:
    text = api_keys.compose(livemode=livemode, key_id=key_id, secret=secret)
    assert text == f"sk_{'live' if livemode else 'test'}_{key_id}_{secret}"
    assert api_keys.parse(text) == Token(text=text, livemode=livemode, key_id=f"key_{key_id}")


@given(st.text(max_size=80), st.sampled_from(["", "sk_test_", "sk_live_abc_"]))
def test_whatever_is_parsed_is_kept_as_it_came(text: str, prefix: str) -> None:
    token = api_keys.parse(prefix + text)
    if token is not None:
        assert token.text == prefix + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"sk_prod_abc_{_SECRET}",
        f"sk_test__{_SECRET}",
        f"sk_test_a_c_{_SECRET}",
        f"sk_test_{'a' * 65}_{_SECRET}",
        f"sk_test_abc_{'s' * 42}",
        f"sk_test_abc_{'s' * 129}",
        f"sk_test_abc_{_SECRET}\n",
        f" sk_test_abc_{_SECRET}",
    ],
)
def test_malformed_keys_are_not_parsed(text: str) -> None:
    assert api_keys.parse(text) is None


@pytest.mark.parametrize(("key_id", "secret"), [("abc", "short"), ("a_b", _SECRET), ("", _SECRET)])
def test_malformed_parts_of_a_key(key_id: str, secret: str) -> None:
    message = "An API key needs an id of letters, digits and hyphens, and a secret of at least 43 letters and digits."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        api_keys.compose(livemode=False, key_id=key_id, secret=secret)


def test_a_key_shows_its_id_and_never_its_secret() -> None:
    token = api_keys.parse(f"sk_test_abc_{_SECRET}")
    assert repr(token) == "Token(key_id='key_abc')"


def test_only_the_key_itself_matches_its_row() -> None:
    text = f"sk_test_abc_{_SECRET}"
    token = Token(text=text, livemode=False, key_id="key_abc")
    assert token.matches(stored(text)) is True
    for other in (f"sk_live_abc_{_SECRET}", f"sk_test_abd_{_SECRET}", f"sk_test_abc_{_SECRET[:-1]}t"):
        assert token.matches(stored(other)) is False
    assert token.matches(None) is False


def test_no_key_matches_a_row_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "hash_token", lambda _: bytes(32))
    assert Token(text="t", livemode=False, key_id="key_abc").matches(None) is False


def test_an_unknown_key_takes_as_long_as_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    text = f"sk_test_abc_{_SECRET}"
    Token(text=text, livemode=False, key_id="key_abc").matches(None)
    assert compared == [(api_keys.hash_token(text), bytes(32))], "digests of the same length"


def test_the_hash_is_of_the_whole_key() -> None:
    text = f"sk_test_abc_{_SECRET}"
    assert api_keys.hash_token(text) == hashlib.sha256(text.encode()).digest()


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    key = stored("t")
    assert key.is_live(age=5) is True
    assert replace(key, expires_in=timedelta(0)).is_live(age=0) is False
    assert replace(key, expires_in=timedelta(seconds=5)).is_live(age=5) is False
    assert replace(key, expires_in=timedelta(seconds=5, microseconds=1)).is_live(age=5) is True
    assert replace(key, revoked_at=NOW).is_live(age=0) is False


def test_a_key_stands_for_its_merchant_with_its_own_rights() -> None:
    key = replace(stored("t"), livemode=True, expires_at=NOW)
    assert key.principal() == Principal(
        merchant_id="mer_1",
        livemode=True,
        key_id="key_abc",
        scopes=frozenset({Scope.PAYMENTS_READ}),
        api_version=CURRENT_API_VERSION,
        expires_at=NOW,
    )


_SCOPES = st.frozensets(st.sampled_from(list(Scope)))
_TIMES = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive


def holder(scopes: frozenset[Scope], expires_at: datetime | None) -> Principal:
    return replace(stored("t").principal(), scopes=scopes, expires_at=expires_at)


@given(_SCOPES, _SCOPES, _TIMES, _TIMES)
def test_a_key_cannot_grant_more_than_it_has(
    own: frozenset[Scope], asked: frozenset[Scope], own_end: datetime | None, asked_end: datetime | None
) -> None:
    far = datetime(2100, 1, 1, tzinfo=UTC)
    excess = api_keys.excess(holder(own, own_end), asked, asked_end)
    assert excess.scopes == asked - own
    assert excess.outlives is ((asked_end or far) > (own_end or far))
    assert bool(excess) is not (asked <= own and not excess.outlives)


def test_a_key_can_grant_itself_again() -> None:
    assert not api_keys.excess(holder(ALL_SCOPES, NOW), ALL_SCOPES, NOW)
    assert api_keys.excess(holder(ALL_SCOPES, NOW), ALL_SCOPES, NOW + timedelta(microseconds=1)).outlives


def test_overlaps_of_a_rotation_are_the_published_ones() -> None:
    assert (timedelta(days=1), timedelta(days=7)) == (api_keys.DEFAULT_OVERLAP, api_keys.MAX_OVERLAP)


def test_versions_are_dates_and_new_keys_get_the_latest() -> None:
    assert list(API_VERSIONS) == sorted(API_VERSIONS)
    assert max(API_VERSIONS) == CURRENT_API_VERSION
    assert all(datetime.strptime(version, "%Y-%m-%d") for version in API_VERSIONS)  # noqa: DTZ007 - a date
