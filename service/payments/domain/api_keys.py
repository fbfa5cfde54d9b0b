"""API keys: their format, their scopes, and what one key may grant to another.

A key reads ``sk_{test|live}_{id}_{secret}``. The id finds the row (``key_{id}``), so the secret is never searched for;
the row holds the SHA-256 of the whole key. The secret has 256 random bits, far beyond any dictionary: a slow password
hash would only slow down every request.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: How long a rotated key stays valid: the default and the maximum.
DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=7)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: 43 characters of base 62 hold 256.03 bits.
_SECRET_LENGTH = 43
#: Prefix of a key's id everywhere except inside the key itself.
ID_PREFIX = "key_"
_TOKEN = re.compile(r"sk_(test|live)_([A-Za-z0-9-]{1,64})_([A-Za-z0-9]{43,128})")
#: Compared with when no key was found, so that an unknown id takes as long as a wrong secret.
_NO_HASH = bytes(32)


class Scope(StrEnum):
    """A permission of an API key."""

    PAYMENTS_READ = "payments:read"
    PAYMENTS_WRITE = "payments:write"
    REFUNDS_READ = "refunds:read"
    REFUNDS_WRITE = "refunds:write"
    EVENTS_READ = "events:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    API_KEYS_READ = "api_keys:read"
    API_KEYS_WRITE = "api_keys:write"
    LEDGER_READ = "ledger:read"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The authenticated caller: one merchant in one mode, through one API key."""

    merchant_id: str
    livemode: bool
    key_id: str
    scopes: frozenset[Scope]
    #: The dated API version the key is pinned to.
    api_version: str
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """The part of a key's row that authentication needs."""

    id: str
    merchant_id: str
    livemode: bool
    secret_hash: bytes
    scopes: frozenset[Scope]
    api_version: str
    expires_at: datetime | None
    #: How long it was still valid when it was read: whoever compares needs no clock that agrees with the database's.
    expires_in: timedelta | None
    revoked_at: datetime | None

    def is_live(self, *, age: float) -> bool:
        """Return whether the key is neither revoked nor expired, ``age`` seconds after it was read."""
        expired = self.expires_in is not None and self.expires_in.total_seconds() <= age
        return self.revoked_at is None and not expired

    def principal(self) -> Principal:
        """Return the caller that this key authenticates."""
        return Principal(
            merchant_id=self.merchant_id,
            livemode=self.livemode,
            key_id=self.id,
            scopes=self.scopes,
            api_version=self.api_version,
            expires_at=self.expires_at,
        )


@dataclass(frozen=True, kw_only=True)
class Token:
    """A key as sent by a client, parsed."""

    text: str
    livemode: bool
    key_id: str

    def __repr__(self) -> str:
        return f"Token(key_id={self.key_id!r})"  # the secret stays out of logs and tracebacks

    def matches(self, stored: StoredKey | None) -> bool:
        """Return whether this is the ``stored`` key, in constant time."""
        equal = hmac.compare_digest(hash_token(self.text), stored.secret_hash if stored else _NO_HASH)
        return equal and stored is not None


def parse(text: str) -> Token | None:
    """Parse ``text``; ``None`` if it is not a well-formed key."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    return Token(text=text, livemode=match[1] == "live", key_id=ID_PREFIX + match[2])


def compose(*, livemode: bool, key_id: str, secret: str) -> str:
    """Return the key for a client to send; ``key_id`` comes without its prefix.

    Raises:
        ValueError: The id or the secret is malformed.
    """
    text = f"sk_{'live' if livemode else 'test'}_{key_id}_{secret}"
    if parse(text) is None:
        raise ValueError(
            "An API key needs an id of letters, digits and hyphens, and a secret of at least 43 letters and digits."
        )
    return text


def new_secret() -> str:
    """Return 256 random bits in base 62."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


def hash_token(text: str) -> bytes:
    """Return the stored hash of a key. It covers mode and id: a row cannot be moved to another mode or id."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, kw_only=True)
class Excess:
    """The part of a grant that exceeds the granting key."""

    scopes: frozenset[Scope]
    outlives: bool

    def __bool__(self) -> bool:
        return bool(self.scopes) or self.outlives


def excess(principal: Principal, scopes: frozenset[Scope], expires_at: datetime | None) -> Excess:
    """Return how a new key of ``scopes`` until ``expires_at`` would exceed ``principal``, who cannot grant more."""
    own = principal.expires_at
    outlives = own is not None and (expires_at is None or expires_at > own)
    return Excess(scopes=scopes - principal.scopes, outlives=outlives)
