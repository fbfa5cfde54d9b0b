"""Who makes a request: ``Authorization: Bearer sk_...`` verified against the stored hash."""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import cast

from flask import Flask, Request, current_app, g, request

from payments.core.problems import ScopeMissing, Unauthenticated
from payments.domain.api_keys import Principal, Scope, StoredKey, parse

#: Seconds that a key's row may be older than the database: the longest that a revoked key still works.
CACHE_SECONDS = 5.0
_CACHE_ENTRIES = 10_000
_EXTENSION = "payments.authenticator"
#: One answer for unknown, wrong, expired and revoked keys: it tells an attacker nothing.
_REFUSED = "Send 'Authorization: Bearer sk_...' with a key that is neither expired nor revoked."


class Authenticator:
    """Verifies API keys, with a small cache in front of the database.

    ``load`` reads a key's row by id. Unknown ids are not cached, so that a key works from the moment it is made.
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
        self._used: dict[str, datetime] = {}

    def authenticate(self, request: Request) -> Principal:
        """The principal of ``request``.

        Raises:
            Unauthenticated: no key, or one that is not valid here and now.
        """
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        token = parse(credentials.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Unauthenticated(_REFUSED)
        if token.livemode and not self._allow_live_keys:
            raise Unauthenticated("This environment accepts test keys (sk_test_...) only.")
        now = datetime.now(UTC)
        stored = self._stored(token.key_id)
        if not token.matches(stored) or stored is None or not stored.is_live_at(now):
            raise Unauthenticated(_REFUSED)
        self._used[stored.id] = now
        return stored.principal()

    def forget(self, key_id: str) -> None:
        """Read the key again at its next use: called where this process changes it."""
        with self._lock:
            self._cache.pop(key_id, None)

    def take_used(self) -> dict[str, datetime]:
        """The keys used since the last call, and when: written to the database in batches."""
        used, self._used = self._used, {}
        return used

    def _stored(self, key_id: str) -> StoredKey | None:
        now = self._clock()
        cached = self._cache.get(key_id)
        if cached is not None and now - cached[0] < CACHE_SECONDS:
            return cached[1]
        stored = self._load(key_id)
        with self._lock:
            if stored is None:
                self._cache.pop(key_id, None)
            else:
                if len(self._cache) >= _CACHE_ENTRIES:
                    self._cache.clear()
                # The time before the read: a row is never trusted longer than the limit.
                self._cache[key_id] = (now, stored)
        return stored


def register(app: Flask, authenticator: Authenticator) -> None:
    """Make ``authenticator`` the one that :func:`authenticate` of ``app`` uses."""
    app.extensions[_EXTENSION] = authenticator


def authenticator() -> Authenticator:
    """The authenticator of the current app."""
    return cast("Authenticator", current_app.extensions[_EXTENSION])


def authenticate(request: Request) -> Principal:
    """The principal of the request being served, verified once per request."""
    if "principal" not in g:
        g.principal = authenticator().authenticate(request)
    return cast("Principal", g.principal)


def require(*scopes: Scope) -> Principal:
    """The principal of the current request, which must have all of ``scopes``.

    Raises:
        Unauthenticated: no valid key.
        ScopeMissing: the key lacks a scope.
    """
    principal = authenticate(request)
    missing = set(scopes) - principal.scopes
    if missing:
        raise ScopeMissing(f"The API key lacks {_listed(missing)}. Use a key that has it.", scopes=sorted(missing))
    return principal


def _listed(scopes: Iterable[Scope]) -> str:
    return ", ".join(sorted(scopes))
