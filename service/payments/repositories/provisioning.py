"""Rows and roles that a release brings along: the application's database role and the smoke checks' API key.

They are written on `migrate`'s connection, which owns the schema, outside any tenant scope.
"""

import logging
from collections.abc import Collection
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from payments.domain.ids import Prefix, new_id

SMOKE_MERCHANT = "mer_smoke"
_APP_GROUP = "payments_app"
_log = logging.getLogger("payments.migration")


def app_role_works(connection: psycopg.Connection, user: str, password: str) -> bool:
    """Return whether the application can log in: not even Aurora's owner can read stored password verifiers."""
    try:
        with psycopg.connect(connection.info.dsn, user=user, password=password, connect_timeout=5) as login:
            row = login.execute("SELECT pg_has_role(current_user, %s, 'member')", [_APP_GROUP]).fetchone()
            return row == (True,)
    except psycopg.Error:
        return False


def create_app_role(connection: psycopg.Connection, user: str, password: str) -> None:
    """Create the application's login role, or set its password."""
    role = sql.Identifier(user)
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone()
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}"
    # The verifier is computed here, so the password appears in no statement and hence in no server log.
    verifier = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL(statement).format(role, sql.Literal(verifier)))
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(_APP_GROUP), role))
    _log.info("application role created", extra={"role": user})


def smoke_key_exists(connection: psycopg.Connection, key_id: str, secret_hash: bytes) -> bool:
    """Return whether the smoke key ``key_id`` is stored with this hash and not revoked."""
    row = connection.execute(
        "SELECT secret_hash FROM api_keys WHERE id = %s AND revoked_at IS NULL", [key_id]
    ).fetchone()
    return row is not None and row[0] == secret_hash


def store_smoke_key(
    connection: psycopg.Connection, key_id: str, secret_hash: bytes, *, scopes: Collection[str], api_version: str
) -> None:
    """Store the hash of the test-mode key that smoke checks use, and revoke its predecessors."""
    connection.execute(
        "INSERT INTO merchants (id, name) VALUES (%s, 'Smoke checks') ON CONFLICT (id) DO NOTHING", [SMOKE_MERCHANT]
    )
    connection.execute(
        "INSERT INTO api_keys (id, merchant_id, livemode, name, secret_hash, scopes, api_version)"
        " VALUES (%(id)s, %(merchant)s, false, 'Smoke checks', %(hash)s, %(scopes)s, %(version)s)"
        " ON CONFLICT (id) DO UPDATE SET secret_hash = EXCLUDED.secret_hash, scopes = EXCLUDED.scopes,"
        " revoked_at = NULL, expires_at = NULL",
        {
            "id": key_id,
            "merchant": SMOKE_MERCHANT,
            "hash": secret_hash,
            "scopes": sorted(scopes),
            "version": api_version,
        },
    )
    # A rotation that changes the ID as well must not leave the old key behind.
    revoked = connection.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE merchant_id = %s AND id <> %s AND revoked_at IS NULL"
        " AND name = 'Smoke checks' RETURNING id",
        [SMOKE_MERCHANT, key_id],
    ).fetchall()
    _audit(connection, "api_key.create", key_id)
    for (old_id,) in revoked:
        _audit(connection, "api_key.revoke", old_id)
    _log.info("smoke key stored", extra={"key": key_id})


def _audit(connection: psycopg.Connection, action: str, key_id: str) -> None:
    connection.execute(
        "INSERT INTO audit_log (id, actor, action, merchant_id, livemode, subject)"
        " VALUES (%s, 'migrate', %s, %s, false, %s)",
        [new_id(Prefix.AUDIT, datetime.now(UTC)), action, SMOKE_MERCHANT, key_id],
    )
