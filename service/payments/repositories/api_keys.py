"""API keys: rows by id for verification, and by merchant for management."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from payments.domain.api_keys import Scope, StoredKey
from payments.domain.operations import TenantScope
from payments.repositories.database import Connection

_COLUMNS = "id, name, livemode, scopes, api_version, created_at, expires_at, revoked_at, last_used_at, replaced_by"


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as its merchant manages it; the secret is not in it."""

    id: str
    name: str
    livemode: bool
    scopes: list[str]
    api_version: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    #: The key that a rotation put in its place.
    replaced_by: str | None


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key about to be stored."""

    id: str
    name: str
    secret_hash: bytes
    scopes: frozenset[Scope]
    api_version: str
    created_at: datetime
    expires_at: datetime | None


def load(tx: Connection, key_id: str) -> StoredKey | None:
    """What verification needs of a key, whoever's it is."""
    row = tx.execute(
        "SELECT id, merchant_id, livemode, secret_hash, scopes, api_version, expires_at, revoked_at"
        " FROM api_keys WHERE id = %s",
        [key_id],
    ).fetchone()
    if row is None:
        return None
    # A scope of a later release is not known here, so it grants nothing here.
    known = frozenset(Scope(scope) for scope in row["scopes"] if scope in set(Scope))
    return StoredKey(**{**row, "scopes": known, "secret_hash": bytes(row["secret_hash"])})


def insert(tx: Connection, tenant: TenantScope, new: NewKey) -> None:
    """Store a key of ``tenant``; its merchant must exist."""
    tx.execute(
        "INSERT INTO api_keys"
        " (id, merchant_id, livemode, name, secret_hash, scopes, api_version, created_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            new.id,
            tenant.merchant_id,
            tenant.livemode,
            new.name,
            new.secret_hash,
            sorted(new.scopes),
            new.api_version,
            new.created_at,
            new.expires_at,
        ],
    )


def get(tx: Connection, tenant: TenantScope, key_id: str, *, lock: bool = False) -> ApiKey | None:
    """One key of ``tenant``."""
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE id = %s AND merchant_id = %s AND livemode = %s"  # noqa: S608
            + (" FOR NO KEY UPDATE" if lock else ""),
            [key_id, tenant.merchant_id, tenant.livemode],
        ).fetchone()


def list_for_tenant(tx: Connection, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[ApiKey]:
    """Up to ``limit`` keys of ``tenant``, newest first, after the one called ``before``."""
    with tx.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s"  # noqa: S608
            + (" AND id < %(before)s" if before else "")
            + " ORDER BY id DESC LIMIT %(limit)s",
            {"merchant_id": tenant.merchant_id, "livemode": tenant.livemode, "before": before, "limit": limit},
        ).fetchall()


def replace(tx: Connection, key_id: str, *, by: str, expires_at: datetime) -> None:
    """Let ``key_id`` end at ``expires_at``, or before if it does already, in favour of ``by``."""
    tx.execute(
        "UPDATE api_keys SET replaced_by = %s, expires_at = least(expires_at, %s) WHERE id = %s",
        [by, expires_at, key_id],
    )


def revoke(tx: Connection, key_id: str, *, now: datetime) -> None:
    """End ``key_id``, for good; the first time counts."""
    tx.execute("UPDATE api_keys SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s", [now, key_id])


def write_last_used(tx: Connection, used: Mapping[str, datetime]) -> None:
    """Remember when keys were used, many at once; an earlier time never replaces a later one."""
    tx.execute(
        """
        UPDATE api_keys SET last_used_at = used.at
        FROM (SELECT unnest(%s::text[]) AS id, unnest(%s::timestamptz[]) AS at ORDER BY id) AS used
        WHERE api_keys.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)
        """,
        [list(used.keys()), list(used.values())],
    )


def insert_merchant(tx: Connection, *, merchant_id: str, name: str, fee_basis_points: int) -> None:
    """Store a merchant, in both modes."""
    tx.execute(
        "INSERT INTO merchants (id, name, fee_basis_points) VALUES (%s, %s, %s)", [merchant_id, name, fee_basis_points]
    )


def merchant_exists(tx: Connection, merchant_id: str) -> bool:
    """Whether there is such a merchant."""
    return tx.execute("SELECT 1 FROM merchants WHERE id = %s", [merchant_id]).fetchone() is not None
