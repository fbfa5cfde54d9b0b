"""API keys: rows by id for authentication, and by merchant for management."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from payments.domain.api_keys import Scope, StoredKey
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

_COLUMNS = """id, name, livemode, scopes, api_version, created_at, expires_at, revoked_at, last_used_at, replaced_by,
    coalesce(expires_at <= clock_timestamp(), false) AS has_expired"""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as its merchant manages it, without the secret."""

    id: str
    name: str
    livemode: bool
    scopes: list[str]
    api_version: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    #: The key that replaced it in a rotation.
    replaced_by: str | None
    #: By the database's clock, when it was read.
    has_expired: bool


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key to be stored."""

    id: str
    name: str
    secret_hash: bytes
    scopes: frozenset[Scope]
    api_version: str
    created_at: datetime
    expires_at: datetime | None


def load(tx: Connection, key_id: str) -> StoredKey | None:
    """Return what authentication needs of a key, whichever merchant it belongs to."""
    row = tx.execute(
        "SELECT id, merchant_id, livemode, secret_hash, scopes, api_version, expires_at, revoked_at,"
        " expires_at - clock_timestamp() AS expires_in FROM api_keys WHERE id = %s",
        [key_id],
    ).fetchone()
    if row is None:
        return None
    # A later release may have added scopes that are unknown here; they grant nothing here.
    known = frozenset(Scope(name) for name in row["scopes"] if name in set(Scope))
    return StoredKey(**{**row, "scopes": known, "secret_hash": bytes(row["secret_hash"])})


def insert(tx: Connection, tenant: TenantScope, new: NewKey) -> None:
    """Store a key of ``tenant``, whose merchant must exist."""
    tx.execute(
        """
        INSERT INTO api_keys
            (id, merchant_id, livemode, name, secret_hash, scopes, api_version, created_at, expires_at)
        VALUES (%(id)s, %(merchant_id)s, %(livemode)s, %(name)s, %(secret_hash)s, %(scopes)s, %(api_version)s,
            %(created_at)s, %(expires_at)s)
        """,
        scope(tenant, **vars(new)) | {"scopes": sorted(new.scopes)},
    )


def lock(tx: Connection, tenant: TenantScope, key_ids: Collection[str]) -> None:
    """Lock those keys of ``tenant`` that exist. Read them afterwards: what is read while waiting is out of date."""
    tx.execute(
        "SELECT 1 FROM api_keys WHERE id = ANY(%s) AND merchant_id = %s AND livemode = %s"
        # In one order, so that two keys which end each other do not deadlock.
        " ORDER BY id FOR NO KEY UPDATE",
        [list(key_ids), tenant.merchant_id, tenant.livemode],
    )


def get(tx: Connection, tenant: TenantScope, key_id: str) -> ApiKey | None:
    """Return one key of ``tenant``."""
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE id = %s AND merchant_id = %s AND livemode = %s",  # noqa: S608 - column names only
            [key_id, tenant.merchant_id, tenant.livemode],
        ).fetchone()


def list_for_tenant(tx: Connection, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[ApiKey]:
    """Return up to ``limit`` keys of ``tenant``, newest first, from the one after ``before``."""
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s"  # noqa: S608 - column names only
            + (" AND id < %(before)s" if before else "")
            + " ORDER BY id DESC LIMIT %(limit)s",
            scope(tenant, before=before, limit=limit),
        ).fetchall()


def replace(tx: Connection, key_id: str, *, by: str, expires_at: datetime) -> None:
    """Mark ``key_id`` as replaced ``by`` another key; it expires at ``expires_at`` unless it does earlier."""
    tx.execute(
        "UPDATE api_keys SET replaced_by = %s, expires_at = least(expires_at, %s) WHERE id = %s",
        [by, expires_at, key_id],
    )


def revoke(tx: Connection, key_id: str, *, now: datetime) -> None:
    """Revoke ``key_id`` for good; the first revocation counts."""
    tx.execute("UPDATE api_keys SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s", [now, key_id])


def write_last_used(tx: Connection, used: Mapping[str, timedelta]) -> None:
    """Record how long ago keys were last used, in one batch; an earlier time never replaces a later one."""
    tx.execute(
        """
        UPDATE api_keys SET last_used_at = used.at
        FROM (SELECT unnest(%s::text[]) AS id, clock_timestamp() - unnest(%s::interval[]) AS at ORDER BY id) AS used
        WHERE api_keys.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)
        """,
        [list(used.keys()), list(used.values())],
    )


def insert_merchant(tx: Connection, *, merchant_id: str, name: str, fee_basis_points: int) -> None:
    """Store a merchant, which exists in both modes."""
    tx.execute(
        "INSERT INTO merchants (id, name, fee_basis_points) VALUES (%s, %s, %s)", [merchant_id, name, fee_basis_points]
    )


def merchant_exists(tx: Connection, merchant_id: str) -> bool:
    """Return whether a merchant exists."""
    return tx.execute("SELECT 1 FROM merchants WHERE id = %s", [merchant_id]).fetchone() is not None
