"""API keys: creating, rotating with overlap, revoking. A key cannot grant more than it has itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from payments.core.problems import IllegalTransition, NotFound, ScopeMissing
from payments.domain import api_keys as domain
from payments.domain.api_keys import Principal, Scope
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.ids import Prefix, new_id
from payments.domain.tenancy import TenantScope
from payments.repositories import api_keys, audit
from payments.repositories.api_keys import ApiKey, NewKey
from payments.repositories.database import Connection
from payments.services.context import Context
from payments.services.idempotency import ApiResponse, IdempotentRequest, LocalResponse, run_local
from payments.services.presentation import Json, timestamp


@dataclass(frozen=True, kw_only=True)
class IssuedKey:
    """A new key: this is the only time its secret is known."""

    key: ApiKey
    token: str


def status_of(key: ApiKey, now: datetime) -> str:
    """Return ``active``, ``expired`` or ``revoked``."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def key_json(key: ApiKey, now: datetime, *, secret: str | None = None) -> Json:
    """Return a key as merchants see it."""
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


def issue_key(
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
    """Issue a key of ``tenant``, on behalf of ``actor``. The caller must have checked that this is allowed."""
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
    return IssuedKey(key=_get(tx, tenant, key_id), token=token)


def create(
    context: Context,
    principal: Principal,
    request: IdempotentRequest,
    *,
    name: str,
    scopes: frozenset[Scope],
    expires_at: datetime | None,
) -> ApiResponse:
    """Create a key for the caller's merchant and mode.

    Raises:
        ScopeMissing: It would have scopes that the caller lacks, or outlive the caller's key.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        _check_grant(principal, scopes, expires_at)
        issued = issue_key(
            tx, principal, actor=principal.key_id, name=name, scopes=scopes, expires_at=expires_at, now=now
        )
        return _response_with_secret(issued, now)

    return run_local(context, principal, request, work)


def rotate(
    context: Context, principal: Principal, request: IdempotentRequest, *, key_id: str, overlap: timedelta
) -> ApiResponse:
    """Replace the key ``key_id``, which remains valid during ``overlap``.

    Raises:
        NotFound: The caller has no such key.
        IllegalTransition: The key is not active, or has been rotated already.
        ScopeMissing: The key has more scopes than the caller.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        old = _get(tx, principal, key_id, lock=True)
        _check_grant(principal, frozenset(Scope(scope) for scope in old.scopes), old.expires_at)
        return _response_with_secret(
            replace_key(tx, principal, old, actor=principal.key_id, overlap=overlap, now=now), now
        )

    return run_local(context, principal, request, work)


def replace_key(
    tx: Connection, tenant: TenantScope, old: ApiKey, *, actor: str, overlap: timedelta, now: datetime
) -> IssuedKey:
    """Issue the replacement of ``old``, which the caller has locked.

    Raises:
        IllegalTransition: ``old`` is not active, or has been rotated already.
    """
    state = status_of(old, now)
    if state != "active" or old.replaced_by is not None:
        state = "replaced" if state == "active" else state
        allowed = ["revoke"] if state == "replaced" else []
        raise IllegalTransition(f"The API key is {state}. Create a new one.", state=state, allowed=allowed)
    issued = issue_key(
        tx,
        tenant,
        actor=actor,
        name=old.name,
        scopes=frozenset(Scope(scope) for scope in old.scopes),
        expires_at=old.expires_at,
        api_version=old.api_version,
        now=now,
    )
    api_keys.replace(tx, old.id, by=issued.key.id, expires_at=now + overlap)
    details = {"replaced_by": issued.key.id, "overlap_seconds": int(overlap.total_seconds())}
    audit.record(tx, tenant, actor=actor, action="api_key.rotate", subject=old.id, now=now, details=details)
    return issued


def revoke(context: Context, principal: Principal, request: IdempotentRequest, *, key_id: str) -> ApiResponse:
    """Revoke a key, effective immediately. Revoking it again changes nothing.

    Raises:
        NotFound: The caller has no such key.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        revoke_key(tx, principal, key_id, actor=principal.key_id, now=now)
        return LocalResponse(status=HTTPStatus.OK, body=key_json(_get(tx, principal, key_id), now))

    return run_local(context, principal, request, work)


def revoke_key(tx: Connection, tenant: TenantScope, key_id: str, *, actor: str, now: datetime) -> None:
    """Revoke a key of ``tenant``, on behalf of ``actor``.

    Raises:
        NotFound: The tenant has no such key.
    """
    _get(tx, tenant, key_id, lock=True)
    api_keys.revoke(tx, key_id, now=now)
    audit.record(tx, tenant, actor=actor, action="api_key.revoke", subject=key_id, now=now)


def list_keys(context: Context, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[ApiKey]:
    """Return up to ``limit`` keys of ``tenant``, newest first, from the one after ``before``."""
    with context.database.tenant_transaction(tenant) as tx:
        return api_keys.list_for_tenant(tx, tenant, before=before, limit=limit)


def _get(tx: Connection, tenant: TenantScope, key_id: str, *, lock: bool = False) -> ApiKey:
    found = api_keys.get(tx, tenant, key_id, lock=lock)
    if found is None:
        raise NotFound.of("API key")
    return found


def _check_grant(principal: Principal, scopes: frozenset[Scope], expires_at: datetime | None) -> None:
    excess = domain.excess(principal, scopes, expires_at)
    if excess.scopes:
        raise ScopeMissing("A key can grant only scopes that it has itself.", scopes=sorted(excess.scopes))
    if excess.outlives:
        raise ScopeMissing("The new key must not outlive the key that creates it. Set expires_at.")


def _response_with_secret(issued: IssuedKey, now: datetime) -> LocalResponse:
    """Return a response that contains the secret now, but not in its replays."""
    return LocalResponse(
        status=HTTPStatus.CREATED,
        body=key_json(issued.key, now, secret=issued.token),
        stored_body=key_json(issued.key, now),
    )
