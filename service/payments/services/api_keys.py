"""Use cases of API keys: make, rotate with overlap, revoke. A key can grant only from what it has itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from payments.core.problems import IllegalTransition, NotFound, ScopeMissing
from payments.domain import api_keys as domain
from payments.domain.api_keys import Principal, Scope
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.ids import Prefix, new_id
from payments.domain.operations import TenantScope
from payments.repositories import api_keys, audit
from payments.repositories.api_keys import ApiKey, NewKey
from payments.repositories.database import Connection
from payments.services.context import Context
from payments.services.idempotency import ApiResponse, IdempotentRequest, LocalResponse, run_local
from payments.services.presentation import timestamp

_CREATED, _OK = 201, 200


@dataclass(frozen=True, kw_only=True)
class IssuedKey:
    """A key that was just made: the only moment at which its secret is known."""

    key: ApiKey
    token: str


def status_of(key: ApiKey, now: datetime) -> str:
    """What can be said of a key at ``now``: ``active``, ``expired`` or ``revoked``."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def key_json(key: ApiKey, now: datetime, *, secret: str | None = None) -> dict[str, Any]:
    """A key as merchants see it."""
    return {
        "id": key.id,
        "object": "api_key",
        "name": key.name,
        "status": status_of(key, now),
        "scopes": key.scopes,
        "api_version": key.api_version,
        "secret": secret,
        "created": timestamp(key.created_at),
        "expires_at": key.expires_at and timestamp(key.expires_at),
        "revoked_at": key.revoked_at and timestamp(key.revoked_at),
        "last_used_at": key.last_used_at and timestamp(key.last_used_at),
        "replaced_by": key.replaced_by,
        "livemode": key.livemode,
    }


def issue(
    tx: Connection,
    tenant: TenantScope,
    *,
    actor: str,
    name: str,
    scopes: frozenset[Scope],
    expires_at: datetime | None,
    now: datetime,
    api_version: str = CURRENT_API_VERSION,
) -> IssuedKey:
    """Make a key of ``tenant``. Who may is for the caller to decide; who did is written down."""
    key_id = new_id(Prefix.API_KEY, now)
    token = domain.compose(
        livemode=tenant.livemode, key_id=key_id.removeprefix(domain.ID_PREFIX), secret=domain.new_secret()
    )
    new = NewKey(
        id=key_id,
        name=name,
        secret_hash=domain.hash_token(token),
        scopes=scopes,
        api_version=api_version,
        created_at=now,
        expires_at=expires_at,
    )
    api_keys.insert(tx, tenant, new)
    audit.record(
        tx, tenant, actor=actor, action="api_key.create", subject=key_id, now=now, details={"scopes": sorted(scopes)}
    )
    return IssuedKey(key=_existing(tx, tenant, key_id), token=token)


def create(
    context: Context,
    principal: Principal,
    request: IdempotentRequest,
    *,
    name: str,
    scopes: frozenset[Scope],
    expires_at: datetime | None,
) -> ApiResponse:
    """Make a key of the caller's merchant and mode with no more than the caller has.

    Raises:
        ScopeMissing: it would have more, or live longer.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        _check_grant(principal, scopes, expires_at)
        made = issue(tx, principal, actor=principal.key_id, name=name, scopes=scopes, expires_at=expires_at, now=now)
        return _secret_response(made, now)

    return run_local(context.database, principal, request, work)


def rotate(
    context: Context, principal: Principal, request: IdempotentRequest, *, key_id: str, overlap: timedelta
) -> ApiResponse:
    """Put a new key in the place of ``key_id``, which still works for ``overlap``.

    Raises:
        NotFound: no such key of the caller's.
        IllegalTransition: it is not active, or was rotated already.
        ScopeMissing: it has more than the caller.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        old = _existing(tx, principal, key_id, lock=True)
        _check_grant(principal, frozenset(Scope(scope) for scope in old.scopes), old.expires_at)
        return _secret_response(renew(tx, principal, old, actor=principal.key_id, overlap=overlap, now=now), now)

    return run_local(context.database, principal, request, work)


def renew(
    tx: Connection, tenant: TenantScope, old: ApiKey, *, actor: str, overlap: timedelta, now: datetime
) -> IssuedKey:
    """The new key of a rotation; ``old`` is locked.

    Raises:
        IllegalTransition: ``old`` is not active, or was rotated already.
    """
    state = status_of(old, now)
    if state != "active" or old.replaced_by is not None:
        state = "replaced" if state == "active" else state
        allowed = ["revoke"] if state == "replaced" else []
        raise IllegalTransition(f"The API key is {state}. Create a new one.", state=state, allowed=allowed)
    made = issue(
        tx,
        tenant,
        actor=actor,
        name=old.name,
        scopes=frozenset(Scope(scope) for scope in old.scopes),
        expires_at=old.expires_at,
        api_version=old.api_version,
        now=now,
    )
    api_keys.replace(tx, old.id, by=made.key.id, expires_at=now + overlap)
    details = {"replaced_by": made.key.id, "overlap_seconds": int(overlap.total_seconds())}
    audit.record(tx, tenant, actor=actor, action="api_key.rotate", subject=old.id, now=now, details=details)
    return made


def revoke(context: Context, principal: Principal, request: IdempotentRequest, *, key_id: str) -> ApiResponse:
    """End a key at once. Ending one that has ended changes nothing.

    Raises:
        NotFound: no such key of the caller's.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        end(tx, principal, key_id, actor=principal.key_id, now=now)
        return LocalResponse(status=_OK, body=key_json(_existing(tx, principal, key_id), now))

    return run_local(context.database, principal, request, work)


def end(tx: Connection, tenant: TenantScope, key_id: str, *, actor: str, now: datetime) -> None:
    """Revoke ``key_id`` of ``tenant``.

    Raises:
        NotFound: no such key.
    """
    _existing(tx, tenant, key_id, lock=True)
    api_keys.revoke(tx, key_id, now=now)
    audit.record(tx, tenant, actor=actor, action="api_key.revoke", subject=key_id, now=now)


def list_keys(context: Context, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[ApiKey]:
    """Up to ``limit`` keys of ``tenant``, newest first."""
    with context.database.tenant_transaction(tenant) as tx:
        return api_keys.list_for_tenant(tx, tenant, before=before, limit=limit)


def _existing(tx: Connection, tenant: TenantScope, key_id: str, *, lock: bool = False) -> ApiKey:
    found = api_keys.get(tx, tenant, key_id, lock=lock)
    if found is None:
        raise NotFound.of("API key")
    return found


def _check_grant(principal: Principal, scopes: frozenset[Scope], expires_at: datetime | None) -> None:
    excess = domain.excess(principal, scopes, expires_at)
    if excess.scopes:
        raise ScopeMissing("A key can grant only scopes that it has itself.", scopes=sorted(excess.scopes))
    if excess.outlives:
        raise ScopeMissing("A key that expires cannot make one that lives longer. Set expires_at.")


def _secret_response(made: IssuedKey, now: datetime) -> LocalResponse:
    """With the secret now, and without it in every replay."""
    return LocalResponse(
        status=_CREATED, body=key_json(made.key, now, secret=made.token), stored_body=key_json(made.key, now)
    )
