"""`payments migrate`: bring the schema up to this release, and provision the application's role and the smoke key.

Many tasks may run it at once, at every start: one works under an advisory lock while the others wait for a bounded
time. With nothing to do it takes no lock and exits at once. A schema newer than this release is left alone.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg

from payments.domain.api_keys import ALL_SCOPES, compose, hash_token
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.repositories import provisioning
from payments.repositories.connection_failures import explain
from payments.repositories.schema import (
    current_versions,
    is_newer,
    known_versions,
    limit_lock_waits,
    lock_migrations,
    unlock_migrations,
)

#: Seconds during which an unreachable database is tried again.
CONNECT_DEADLINE = 120.0
#: Milliseconds that a migration waits for a table lock before it steps aside. Payments queue behind its request, so it
#: is shorter than they wait at most; and longer than `deadlock_timeout`, after which PostgreSQL ends an autovacuum that
#: is in the way.
LOCK_TIMEOUT = 1_500
#: Seconds that it lets payments pass before it tries again, and for which it tries: shorter than other migrators wait.
LOCK_PAUSE = 2.0
LOCK_DEADLINE = 75.0
#: Milliseconds that one migrator waits for another.
MIGRATOR_TIMEOUT = 90_000
_log = logging.getLogger("payments.migration")


class MigrationError(Exception):
    """The schema could not be migrated; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class MigrationInputs:
    """What `migrate` provisions besides the schema."""

    app_user: str = ""
    app_password: str = field(default="", repr=False)
    smoke_key_id: str = ""
    smoke_key_secret: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "MigrationInputs":
        """Read APP_DB_USER, APP_DB_PASSWORD, SMOKE_KEY_ID and SMOKE_KEY_SECRET; each pair is optional.

        Raises:
            MigrationError: Only half of a pair is set.
        """
        for first, second in (("APP_DB_USER", "APP_DB_PASSWORD"), ("SMOKE_KEY_ID", "SMOKE_KEY_SECRET")):
            if bool(environ.get(first)) != bool(environ.get(second)):
                raise MigrationError(f"{first} and {second} belong together. Set both or neither.")
        return cls(
            app_user=environ.get("APP_DB_USER", ""),
            app_password=environ.get("APP_DB_PASSWORD", ""),
            smoke_key_id=environ.get("SMOKE_KEY_ID", ""),
            smoke_key_secret=environ.get("SMOKE_KEY_SECRET", ""),
        )

    def smoke_key(self) -> tuple[str, bytes] | None:
        """Return the ID and the hash of the smoke key, or None without one.

        Raises:
            MigrationError: Clients could not send such a key.
        """
        if not self.smoke_key_id:
            return None
        try:
            token = compose(livemode=False, key_id=self.smoke_key_id, secret=self.smoke_key_secret)
        except ValueError as error:
            raise MigrationError(f"SMOKE_KEY_ID or SMOKE_KEY_SECRET is not usable: {error}") from error
        return f"key_{self.smoke_key_id}", hash_token(token)


def run() -> int:
    """Run the command with the inputs in the environment; return the exit code."""
    try:
        migrate(MigrationInputs.from_environment(os.environ))
    except MigrationError as error:
        _log.error("migration failed: %s", error)
        return 1
    return 0


def migrate(inputs: MigrationInputs, *, conninfo: str = "", deadline: float = CONNECT_DEADLINE) -> bool:
    """Migrate and provision; return whether there was anything to do.

    Raises:
        MigrationError: No connection within ``deadline`` seconds, or another migrator or a lock took too long.
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
    """Connect, trying again for ``deadline`` seconds: a new cluster takes a while to accept connections.

    Raises:
        MigrationError: With the last reason.
    """
    end, wait = time.monotonic() + deadline, 0.2
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True, connect_timeout=5, application_name="payments-migrate")
        except psycopg.OperationalError as error:
            if time.monotonic() + wait > end:
                raise MigrationError(
                    f"The database could not be reached for {deadline:.0f} seconds: {explain(error)}"
                ) from error
            _log.warning("database not reachable yet", extra={"reason": str(explain(error))})
        sleep(wait)
        wait = min(wait * 2, 5.0)


def _run_locked(connection: psycopg.Connection, inputs: MigrationInputs) -> None:
    limit_lock_waits(connection, MIGRATOR_TIMEOUT)
    try:
        lock_migrations(connection)
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(
            f"Another migration holds the lock: gave up after {MIGRATOR_TIMEOUT // 1000} seconds. Check its log; ECS "
            "restarts this task."
        ) from error
    limit_lock_waits(connection, LOCK_TIMEOUT)
    try:
        _apply(connection, inputs)
    finally:
        if not connection.closed:
            unlock_migrations(connection)


def _apply(connection: psycopg.Connection, inputs: MigrationInputs) -> None:
    """Upgrade and provision; while a table is locked, step aside and try again until the deadline."""
    end = time.monotonic() + LOCK_DEADLINE
    while True:
        try:
            _upgrade(connection)
            with connection.transaction():
                _provision(connection, inputs)
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() + LOCK_PAUSE > end:
                raise MigrationError(
                    f"A table stayed locked for {LOCK_DEADLINE:.0f} seconds, so nothing was changed: {error}. "
                    "Find the long transaction in pg_stat_activity; the next start tries again."
                ) from error
            _log.warning("a table is locked; trying again", extra={"reason": str(error)})
        else:
            return
        time.sleep(LOCK_PAUSE)


def _upgrade(connection: psycopg.Connection) -> None:
    current = current_versions(connection)
    if is_newer(current):
        _log.warning("the schema is newer than this release; continuing", extra={"revision": sorted(current)})
        return
    if known_versions()[-1] in current:
        return
    # Imported here: loading Alembic takes longer than finding that there is nothing to do, which is the rule.
    from payments.cli.alembic_upgrade import upgrade

    upgrade(connection)
    _log.info("schema migrated", extra={"revision": known_versions()[-1]})


def _is_done(connection: psycopg.Connection, inputs: MigrationInputs) -> bool:
    current = current_versions(connection)
    if known_versions()[-1] not in current and not is_newer(current):
        return False
    smoke_key = inputs.smoke_key()
    if smoke_key and not provisioning.smoke_key_exists(connection, *smoke_key):
        return False
    return not inputs.app_user or provisioning.app_role_works(connection, inputs.app_user, inputs.app_password)


def _provision(connection: psycopg.Connection, inputs: MigrationInputs) -> None:
    if inputs.app_user:
        provisioning.create_app_role(connection, inputs.app_user, inputs.app_password)
    smoke_key = inputs.smoke_key()
    if smoke_key and not provisioning.smoke_key_exists(connection, *smoke_key):
        provisioning.store_smoke_key(connection, *smoke_key, scopes=ALL_SCOPES, api_version=CURRENT_API_VERSION)
