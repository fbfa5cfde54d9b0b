"""`payments migrate`: bring the schema up to this release, and make what it needs (application role, smoke key).

Safe to run by many tasks at once and again at every start: one runs under an advisory lock, the others wait a bounded
time; when nothing is to do it takes no lock and exits at once; a schema newer than this release is left alone.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from psycopg import sql

from payments.domain.api_keys import ALL_SCOPES, compose, hash_token
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.ids import Prefix, new_id
from payments.repositories.schema import MIGRATIONS, current_versions, is_newer, known_versions

#: Seconds during which an unreachable database is tried again.
CONNECT_DEADLINE = 120.0
#: Milliseconds that a migration waits for a table lock before it gives up, so that it never queues traffic behind it.
LOCK_TIMEOUT = 5_000
#: Milliseconds that one migrator waits for another.
MIGRATOR_TIMEOUT = 90_000
_ADVISORY_LOCK = 7_236_401
_APP_GROUP = "payments_app"
SMOKE_MERCHANT = "mer_smoke"
_log = logging.getLogger("payments.migration")


class MigrationError(Exception):
    """The schema could not be brought up to date; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class MigrationInputs:
    """What `migrate` is told besides the connection."""

    app_user: str = ""
    app_password: str = field(default="", repr=False)
    smoke_key_id: str = ""
    smoke_key_secret: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "MigrationInputs":
        """Read APP_DB_USER, APP_DB_PASSWORD, SMOKE_KEY_ID and SMOKE_KEY_SECRET; each pair is there or not.

        Raises:
            MigrationError: half a pair.
        """
        for first, second in (("APP_DB_USER", "APP_DB_PASSWORD"), ("SMOKE_KEY_ID", "SMOKE_KEY_SECRET")):
            if bool(environ.get(first)) != bool(environ.get(second)):
                raise MigrationError(f"{first} and {second} belong together. Set both or none.")
        return cls(
            app_user=environ.get("APP_DB_USER", ""),
            app_password=environ.get("APP_DB_PASSWORD", ""),
            smoke_key_id=environ.get("SMOKE_KEY_ID", ""),
            smoke_key_secret=environ.get("SMOKE_KEY_SECRET", ""),
        )


def migrate(inputs: MigrationInputs, *, conninfo: str = "", deadline: float = CONNECT_DEADLINE) -> bool:
    """Do what is to do; answers whether anything was.

    Raises:
        MigrationError: no connection within ``deadline`` seconds, or another migrator or a lock took too long.
    """
    connection = connect(conninfo, deadline=deadline)
    try:
        if _is_done(connection, inputs):
            _log.info("nothing to migrate")
            return False
        _run_locked(connection, inputs)
    finally:
        connection.close()
    return True


def connect(
    conninfo: str = "", *, deadline: float = CONNECT_DEADLINE, sleep: Callable[[float], None] = time.sleep
) -> psycopg.Connection:
    """A connection, tried again for ``deadline`` seconds: a new cluster answers late.

    Raises:
        MigrationError: with the last reason.
    """
    end, wait = time.monotonic() + deadline, 0.2
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True, connect_timeout=5, application_name="payments-migrate")
        except psycopg.OperationalError as error:
            if time.monotonic() + wait > end:
                raise MigrationError(
                    f"The database could not be reached for {deadline:.0f} seconds: {error}. "
                    "Check PGHOST, PGPORT, the security groups and the credentials."
                ) from error
            _log.warning("database not reachable yet", extra={"reason": str(error)})
        sleep(wait)
        wait = min(wait * 2, 5.0)


def _run_locked(connection: psycopg.Connection, inputs: MigrationInputs) -> None:
    connection.execute(f"SET lock_timeout = {MIGRATOR_TIMEOUT}")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(
            f"Another migration holds the lock for more than {MIGRATOR_TIMEOUT // 1000} seconds. See its log; "
            "this task is started again by itself."
        ) from error
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
    try:
        _upgrade(connection)
        with connection.transaction():
            _make_app_role(connection, inputs)
            _store_smoke_key(connection, inputs)
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(
            f"A table stayed locked for more than {LOCK_TIMEOUT // 1000} seconds, so nothing was changed: {error}. "
            "Find the long transaction in pg_stat_activity; the next start tries again."
        ) from error
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])


def config() -> Config:
    """Alembic's configuration, without a file."""
    result = Config()
    result.set_main_option("script_location", str(MIGRATIONS))
    return result


def _upgrade(connection: psycopg.Connection) -> None:
    current = current_versions(connection)
    if is_newer(current):
        _log.warning("the schema is newer than this release, which goes on", extra={"revision": sorted(current)})
        return
    if known_versions()[-1] in current:
        return
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=sqlalchemy.pool.StaticPool
    )
    connection.autocommit = False
    try:
        with engine.connect() as bound:
            alembic = config()
            alembic.attributes["connection"] = bound
            command.upgrade(alembic, "head")
            bound.commit()
    except sqlalchemy.exc.DBAPIError as error:
        raise (error.orig or error) from error
    finally:
        connection.rollback()
        connection.autocommit = True
    _log.info("schema migrated", extra={"revision": known_versions()[-1]})


def _is_done(connection: psycopg.Connection, inputs: MigrationInputs) -> bool:
    current = current_versions(connection)
    if known_versions()[-1] not in current and not is_newer(current):
        return False
    return _app_role_is_made(connection, inputs) and _smoke_key_is_stored(connection, inputs)


def _app_role_is_made(connection: psycopg.Connection, inputs: MigrationInputs) -> bool:
    """Whether the application can log in with its password: stored verifiers cannot be read by Aurora's owner."""
    if not inputs.app_user:
        return True
    try:
        with psycopg.connect(
            connection.info.dsn, user=inputs.app_user, password=inputs.app_password, connect_timeout=5
        ) as trial:
            member = trial.execute("SELECT pg_has_role(current_user, %s, 'member')", [_APP_GROUP]).fetchone()
            return member == (True,)
    except psycopg.Error:
        return False


def _make_app_role(connection: psycopg.Connection, inputs: MigrationInputs) -> None:
    if not inputs.app_user:
        return
    role = sql.Identifier(inputs.app_user)
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [inputs.app_user]).fetchone()
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}"
    # The verifier is computed here, so that the password appears in no statement, hence in no server log.
    verifier = connection.pgconn.encrypt_password(
        inputs.app_password.encode(), inputs.app_user.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(sql.SQL(statement).format(role, sql.Literal(verifier)))
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(_APP_GROUP), role))
    _log.info("application role made", extra={"role": inputs.app_user})


def _smoke_token_hash(inputs: MigrationInputs) -> bytes:
    try:
        return hash_token(compose(livemode=False, key_id=inputs.smoke_key_id, secret=inputs.smoke_key_secret))
    except ValueError as error:
        raise MigrationError(f"SMOKE_KEY_ID or SMOKE_KEY_SECRET cannot be used: {error}") from error


def _smoke_key_is_stored(connection: psycopg.Connection, inputs: MigrationInputs) -> bool:
    if not inputs.smoke_key_id:
        return True
    row = connection.execute(
        "SELECT secret_hash FROM api_keys WHERE id = %s AND revoked_at IS NULL", [f"key_{inputs.smoke_key_id}"]
    ).fetchone()
    return row is not None and row[0] == _smoke_token_hash(inputs)


def _store_smoke_key(connection: psycopg.Connection, inputs: MigrationInputs) -> None:
    """Keep the hash of the generated test-mode key that smoke checks use; the key itself stays in its secret."""
    if _smoke_key_is_stored(connection, inputs):
        return
    connection.execute(
        "INSERT INTO merchants (id, name) VALUES (%s, 'Smoke checks') ON CONFLICT (id) DO NOTHING", [SMOKE_MERCHANT]
    )
    connection.execute(
        "INSERT INTO api_keys (id, merchant_id, livemode, name, secret_hash, scopes, api_version)"
        " VALUES (%(id)s, %(merchant)s, false, 'Smoke checks', %(hash)s, %(scopes)s, %(version)s)"
        " ON CONFLICT (id) DO UPDATE SET secret_hash = EXCLUDED.secret_hash, scopes = EXCLUDED.scopes,"
        " revoked_at = NULL, expires_at = NULL",
        {
            "id": f"key_{inputs.smoke_key_id}",
            "merchant": SMOKE_MERCHANT,
            "hash": _smoke_token_hash(inputs),
            "scopes": sorted(ALL_SCOPES),
            "version": CURRENT_API_VERSION,
        },
    )
    # A rotation that changes the id too must not leave the former key behind.
    former = connection.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE merchant_id = %s AND id <> %s AND revoked_at IS NULL"
        " AND name = 'Smoke checks' RETURNING id",
        [SMOKE_MERCHANT, f"key_{inputs.smoke_key_id}"],
    ).fetchall()
    _audit(connection, "api_key.create", inputs.smoke_key_id)
    for (key_id,) in former:
        _audit(connection, "api_key.revoke", key_id.removeprefix("key_"))
    _log.info("smoke key stored", extra={"key": inputs.smoke_key_id})


def _audit(connection: psycopg.Connection, action: str, key_id: str) -> None:
    """Write down what `migrate` did to a smoke key."""
    connection.execute(
        "INSERT INTO audit_log (id, actor, action, merchant_id, livemode, subject)"
        " VALUES (%s, 'migrate', %s, %s, false, %s)",
        [new_id(Prefix.AUDIT, datetime.now(UTC)), action, SMOKE_MERCHANT, f"key_{key_id}"],
    )
