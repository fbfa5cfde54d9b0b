"""API keys: creating, rotating with overlap, revoking. A key cannot grant more than it has itself."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from payments.core.problems import IllegalTransition, NotFound, ScopeMissing, Unauthenticated, ValidationFailed
from payments.domain import api_keys as domain
from payments.domain.api_keys import Principal, Scope
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.ids import Prefix, new_id
from payments.domain.tenancy import TenantScope
from payments.repositories import api_keys, audit, database
from payments.repositories.api_keys import ApiKey, NewKey
from payments.repositories.connection import Connection
from payments.services.context import Context
from payments.services.idempotency import ApiResponse, IdempotentRequest, LocalResponse, run_local
from payments.services.presentation import Json, timestamp


@dataclass(frozen=True, kw_only=True)
class IssuedKey:
    """A new key: this is the only time its secret is known."""

    key: ApiKey
    token: str


def status_of(key: ApiKey) -> str:
    """Return ``active``, ``expired`` or ``revoked``, as of when the key was read."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.has_expired else "active"


def key_json(key: ApiKey, *, secret: str | None = None) -> Json:
    """Return a key as merchants see it."""
    return {
        "id": key.id,
        "object": "api_key",
        "name": key.name,
        "status": status_of(key),
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


def hold(tx: Connection, principal: Principal, scope: Scope, *, also: Collection[str] = ()) -> Principal:
    """Return the caller as its key stands now, which stays so until the transaction ends.

    The caller was authenticated from a cache that lags behind. That is good enough for whatever ends with the request,
    but not for what grants, rotates or ends a credential: its effects would outlive the key.

    Args:
        tx: The transaction of the change.
        principal: The caller as authenticated.
        scope: What the change requires.
        also: Further keys to lock, which the change is about.

    Raises:
        Unauthenticated: The key has been revoked or has expired.
        ScopeMissing: The key has lost ``scope``.
    """
    api_keys.lock(tx, principal, {principal.key_id, *also})
    key = api_keys.load(tx, principal.key_id)
    if key is None or not key.is_live(age=0):
        raise Unauthenticated("The API key has been revoked or has expired. Use another one.")
    if scope not in key.scopes:
        raise ScopeMissing(f"The API key lacks {scope}. Use a key that has it.", scopes=[scope])
    return key.principal()


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
        Unauthenticated: The caller's key has ended.
        ScopeMissing: It would have scopes that the caller lacks, or outlive the caller's key.
        ValidationFailed: It would have expired already.
    """

    def work(tx: Connection) -> LocalResponse:
        caller = hold(tx, principal, Scope.API_KEYS_WRITE)
        now = database.now(tx)
        if expires_at is not None and expires_at <= now:
            raise ValidationFailed.at("#/expires_at", "Must be a time in the future, in Unix seconds.")
        _check_grant(caller, scopes, expires_at)
        issued = issue_key(tx, caller, actor=caller.key_id, name=name, scopes=scopes, expires_at=expires_at, now=now)
        return _response_with_secret(issued)

    return run_local(context, principal, request, work)


def rotate(
    context: Context, principal: Principal, request: IdempotentRequest, *, key_id: str, overlap: timedelta
) -> ApiResponse:
    """Replace the key ``key_id``, which remains valid during ``overlap``.

    Raises:
        Unauthenticated: The caller's key has ended.
        NotFound: The caller has no such key.
        IllegalTransition: The key is not active, or has been rotated already.
        ScopeMissing: The key has more scopes than the caller.
    """

    def work(tx: Connection) -> LocalResponse:
        caller = hold(tx, principal, Scope.API_KEYS_WRITE, also=[key_id])
        old = _get(tx, caller, key_id)
        _check_grant(caller, frozenset(Scope(scope) for scope in old.scopes), old.expires_at)
        return _response_with_secret(replace_key(tx, caller, old, actor=caller.key_id, overlap=overlap))

    return run_local(context, principal, request, work)


def replace_key(tx: Connection, tenant: TenantScope, old: ApiKey, *, actor: str, overlap: timedelta) -> IssuedKey:
    """Issue the replacement of ``old``, which the caller has locked before reading it.

    Raises:
        IllegalTransition: ``old`` is not active, or has been rotated already.
    """
    state = status_of(old)
    if state != "active" or old.replaced_by is not None:
        state = "replaced" if state == "active" else state
        allowed = ["revoke"] if state == "replaced" else []
        raise IllegalTransition(f"The API key is {state}. Create a new one.", state=state, allowed=allowed)
    now = database.now(tx)
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
        Unauthenticated: The caller's key has ended.
        NotFound: The caller has no such key.
    """

    def work(tx: Connection) -> LocalResponse:
        caller = hold(tx, principal, Scope.API_KEYS_WRITE, also=[key_id])
        revoke_key(tx, caller, key_id, actor=caller.key_id)
        return LocalResponse(status=HTTPStatus.OK, body=key_json(_get(tx, caller, key_id)))

    return run_local(context, principal, request, work)


def revoke_key(tx: Connection, tenant: TenantScope, key_id: str, *, actor: str) -> None:
    """Revoke a key of ``tenant``, which the caller has locked, on behalf of ``actor``.

    Raises:
        NotFound: The tenant has no such key.
    """
    _get(tx, tenant, key_id)
    now = database.now(tx)
    api_keys.revoke(tx, key_id, now=now)
    audit.record(tx, tenant, actor=actor, action="api_key.revoke", subject=key_id, now=now)


def list_keys(context: Context, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[ApiKey]:
    """Return up to ``limit`` keys of ``tenant``, newest first, from the one after ``before``."""
    with context.database.tenant_transaction(tenant) as tx:
        return api_keys.list_for_tenant(tx, tenant, before=before, limit=limit)


def _get(tx: Connection, tenant: TenantScope, key_id: str) -> ApiKey:
    found = api_keys.get(tx, tenant, key_id)
    if found is None:
        raise NotFound.of("API key")
    return found


def _check_grant(principal: Principal, scopes: frozenset[Scope], expires_at: datetime | None) -> None:
    excess = domain.excess(principal, scopes, expires_at)
    if excess.scopes:
        raise ScopeMissing("A key can grant only scopes that it has itself.", scopes=sorted(excess.scopes))
    if excess.outlives:
        raise ScopeMissing("The new key must not outlive the key that creates it. Set expires_at.")


def _response_with_secret(issued: IssuedKey) -> LocalResponse:
    """Return a response that contains the secret now, but not in its replays."""
    return LocalResponse(
        status=HTTPStatus.CREATED,
        body=key_json(issued.key, secret=issued.token),
        stored_body=key_json(issued.key),
    )
