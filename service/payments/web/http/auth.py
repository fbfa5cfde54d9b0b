"""Authentication: ``Authorization: Bearer sk_...``, or ``curl -u sk_...:``, verified against the stored hash."""

import base64
import binascii
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import cast

from flask import Flask, Request, current_app, g, request

from payments.core.problems import ScopeMissing, Unauthenticated
from payments.domain.api_keys import Principal, Scope, StoredKey, parse

#: Seconds that a cached key may lag behind the database: how long a revoked key keeps working at most.
CACHE_SECONDS = 5.0
_CACHE_ENTRIES = 10_000
_EXTENSION = "payments.authenticator"
#: The same text for unknown, wrong, expired and revoked keys, so it tells an attacker nothing.
_REJECTED = "Send 'Authorization: Bearer sk_...' with a key that is neither expired nor revoked."


class Authenticator:
    """Verifies API keys, with a small cache in front of the database.

    Args:
        load: Reads a key by its ID. Unknown IDs are not cached, so a key works as soon as it is created.
        allow_live_keys: Whether live keys are accepted.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        load: Callable[[str], StoredKey | None],
        *,
        allow_live_keys: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._allow_live_keys = allow_live_keys
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, StoredKey]] = {}
        self._used: dict[str, float] = {}

    def authenticate(self, request: Request) -> Principal:
        """Return the principal of ``request``.

        Raises:
            Unauthenticated: The key is missing or not valid here and now.
        """
        token = parse(_credentials(request.headers.get("Authorization", "")))
        if token is None:
            raise Unauthenticated(_REJECTED)
        if token.livemode and not self._allow_live_keys:
            raise Unauthenticated("This environment accepts test keys (sk_test_...) only.")
        read_at, stored = self._stored(token.key_id)
        now = self._clock()
        if not token.matches(stored) or stored is None or not stored.is_live(age=now - read_at):
            raise Unauthenticated(_REJECTED)
        self._used[stored.id] = now
        return stored.principal()

    def forget(self, key_id: str) -> None:
        """Drop the key from the cache; called where this process changes it."""
        with self._lock:
            self._cache.pop(key_id, None)

    def take_used(self) -> dict[str, timedelta]:
        """Return the keys used since the last call, and how long ago each was last used."""
        used, self._used = self._used, {}
        now = self._clock()
        return {key_id: timedelta(seconds=now - at) for key_id, at in used.items()}

    def _stored(self, key_id: str) -> tuple[float, StoredKey | None]:
        """Return when the key was read, and the key."""
        now = self._clock()
        cached = self._cache.get(key_id)
        if cached is not None and now - cached[0] < CACHE_SECONDS:
            return cached
        stored = self._load(key_id)
        with self._lock:
            if stored is None:
                self._cache.pop(key_id, None)
            else:
                if len(self._cache) >= _CACHE_ENTRIES:
                    self._cache.clear()
                # The time before the read, so an entry is never trusted for longer than the limit.
                self._cache[key_id] = (now, stored)
        return now, stored


def _credentials(header: str) -> str:
    """Return the key in an ``Authorization`` header; empty if it has another scheme, or there is none.

    Raises:
        Unauthenticated: It is sent as the user name of HTTP Basic, but not as it should be; or there are two headers.
    """
    if "," in header:  # servers join repeated headers with a comma, which is in no key and no base64
        raise Unauthenticated("Send one Authorization header.")
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        user, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = colon = password = ""
    if not colon:
        raise Unauthenticated("Send 'Authorization: Basic ' followed by the base64 of the key and a colon, 'sk_...:'.")
    if password:
        raise Unauthenticated("Send the API key as the user name, and leave the password empty.")
    return user


def register(app: Flask, authenticator: Authenticator) -> None:
    """Make ``authenticator`` the one that ``app`` uses."""
    app.extensions[_EXTENSION] = authenticator


def authenticator() -> Authenticator:
    """Return the authenticator of the current application."""
    return cast("Authenticator", current_app.extensions[_EXTENSION])


def principal() -> Principal:
    """Return the principal of the current request, which is authenticated once.

    Raises:
        Unauthenticated: The request has no valid API key.
    """
    if "principal" not in g:
        g.principal = authenticator().authenticate(request)
    return cast("Principal", g.principal)


def require(*scopes: Scope) -> Principal:
    """Return the principal of the current request, which must have all ``scopes``.

    Raises:
        Unauthenticated: The request has no valid API key.
        ScopeMissing: The key lacks a scope.
    """
    caller = principal()
    if missing := sorted(set(scopes) - caller.scopes):
        raise ScopeMissing(f"The API key lacks {', '.join(missing)}. Use a key that has it.", scopes=missing)
    return caller
