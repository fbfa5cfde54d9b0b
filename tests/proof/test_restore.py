"""A backup of a living database, restored elsewhere by the runbook (docs/operations.md, "Restore the database").

The processor's books are on another server, as in life: they know what was done after the backup, and we do not.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from payments.repositories.database import Database
from payments.services import webhook_delivery
from payments.services.context import Context
from payments.worker.schedule import all_loops
from tests.proof.history import Json
from tests.proof.world import ROOT, StormPostgres
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import RUN, ApiKey, Postgres, make_key, make_migrated_database
from tests.service.postgres_server import PostgresServer, _binary
from tests.service.receivers import Receiver, receiver
from tests.waiting import wait_until

pytestmark = [pytest.mark.rehearsal]

_METHODS = ("tok_visa", "tok_lost_approved", "tok_refund_lost", "tok_pending_approved", "tok_declined")


class Restored(StormPostgres):
    """A server made from a base backup of another that is running."""

    def __init__(self, source: PostgresServer) -> None:
        super().__init__(RUN, {"fsync": "off"})
        shutil.rmtree(self.data)
        address = conninfo_to_dict(source.conninfo)
        self._run("pg_basebackup", "-D", str(self.data), "-h", str(address["host"]), "-U", "postgres", "-c", "fast")


def strings(server: PostgresServer) -> Postgres:
    """Return the connection strings of the service's database on `server`."""
    superuser = make_conninfo(server.conninfo, dbname="payments")
    return Postgres(
        superuser=superuser,
        owner=make_conninfo(superuser, user="payments_owner"),
        app=make_conninfo(superuser, user="payments_service", password="app-password"),
    )


@pytest.fixture
def lost() -> Iterator[StormPostgres]:
    """The server that will be lost, with the service's database."""
    server = StormPostgres(RUN, {"fsync": "off"})
    try:
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write("local replication all trust\n")
        server.start()
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE payments_owner LOGIN CREATEROLE")
        make_migrated_database(server.conninfo, "payments")
        yield server
    finally:
        server.stop()


@contextmanager
def serving(server: PostgresServer, journal: Database) -> Iterator[Context]:
    """Yield the context of a service on `server`, whose processor is elsewhere."""
    database = Database(strings(server).app, size=16)
    try:
        yield replace(sandbox_context(database, journal), allow_local_webhooks=True)
    finally:
        database.close()


@contextmanager
def working(context: Context) -> Iterator[None]:
    """Do the worker's work meanwhile, all of it."""
    ended = threading.Event()
    loops = all_loops(context)

    def work() -> None:
        while not ended.wait(0.1):
            for loop in loops:
                if loop.name != "metrics":
                    loop.run()

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)
        for loop in loops:
            loop.close()


@contextmanager
def paying(client: Client) -> Iterator[Callable[[], int]]:
    """Take payments meanwhile, and refund some; yields how many there are."""
    ended, payments = threading.Event(), list[str]()

    def pay(number: int) -> None:
        while not ended.is_set():
            made = client.create(_METHODS[len(payments) % len(_METHODS)], amount=1000 + len(payments))
            payments.append(made.text)
            if made.status_code == 201 and number:
                client.post(f"/v1/payments/{made.get_json()['id']}/refunds", {"amount": 10})

    threads = [threading.Thread(target=pay, args=(number,), name=f"payer-{number}") for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(payments)
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)


def command(server: PostgresServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m payments ...` on a database, as the runbook says."""
    app = conninfo_to_dict(strings(server).app)
    environment = {
        "PATH": os.environ["PATH"], "TMPDIR": str(folder), "PGHOST": str(app["host"]), "PGDATABASE": "payments",
        "PGUSER": "payments_service", "PGPASSWORD": "app-password",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "payments", *arguments],
        cwd=ROOT / "service",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def is_idle(server: PostgresServer) -> bool:
    """Return whether the worker has nothing left to do."""
    with psycopg.connect(strings(server).superuser) as connection:
        row = connection.execute(
            """
            SELECT (SELECT count(*) FROM attempts WHERE status = 'open')
                + (SELECT count(*) FROM webhook_messages WHERE status = 'pending')
                + (SELECT count(*) FROM events e, cursors c WHERE c.name = 'outbox' AND (e.xid, e.id) > (c.xid, c.id))
            """
        ).fetchone()
    return row == (0,)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the processor's report."""

    kind: str
    reference: str
    amount: int
    attempt_id: str


def report(journal: Postgres) -> list[Line]:
    """Return what the processor says: every charge and refund that it carried out."""
    with psycopg.connect(journal.superuser) as connection:
        rows = connection.execute(
            "SELECT CASE kind WHEN 'payment' THEN 'charge' ELSE kind END, reference, amount, attempt_id"
            " FROM sandbox_journal WHERE kind IN ('payment', 'refund') AND 'approved' IN (outcome, settles_as)"
        ).fetchall()
    return [Line(kind=row[0], reference=row[1], amount=row[2], attempt_id=row[3]) for row in rows]


def known_attempts(server: PostgresServer) -> set[str]:
    with psycopg.connect(strings(server).superuser) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM attempts")}


def reconcile(server: PostgresServer, folder: Path, lines: Sequence[Line]) -> list[Json]:
    """Run the runbook's reconciliation; returns the differences."""
    today = datetime.now(UTC).date()
    rows = [f"{line.kind},{line.reference},EUR,{line.amount},0,{today}" for line in lines]
    path = folder / "report.csv"
    path.write_text("\n".join(["kind,reference,currency,amount,fee,settled_on", *rows, ""]))
    done = command(server, folder, "reconcile", str(path), "--processor", "sandbox", "--replace")
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def subscribe(client: Client, found: Receiver) -> None:
    client.json(client.post("/v1/webhook_endpoints", {"url": found.url, "event_types": ["*"]}))


def test_a_restored_backup_converges(
    lost: StormPostgres, journal: Database, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "LEASE", timedelta(seconds=5))
    with ExitStack() as stack:
        found = stack.enter_context(receiver())
        key: ApiKey = make_key(strings(lost), "mer_alice")
        with serving(lost, journal) as before:
            client = Client(before, key)
            subscribe(client, found)
            with working(before), paying(client) as count:
                wait_until(lambda: count() >= 25, "payments before the backup")
                wait_until(lambda: heads(lost), "a sealed ledger")
                head = heads(lost)[-1]
                restored = Restored(lost)
                stack.callback(restored.stop)
                at_backup = count()
                wait_until(lambda: count() >= at_backup + 15, "payments after the backup")
        gone = events(lost)
        lost.halt()  # the disaster
        restored.start()
        # The runbook: verify, let only the worker work, reconcile, repair, open.
        verified = command(restored, tmp_path, "ledger", "verify", "--head", head)
        assert verified.returncode == 0, verified.stdout
        with serving(restored, journal) as after:
            with working(after):
                wait_until(lambda: is_idle(restored), "the worker to settle and deliver what was open")
            # Not before: the worker itself calls the processor for what was open.
            unknown = [line for line in report(postgres) if line.attempt_id not in known_attempts(restored)]
            differences = reconcile(restored, tmp_path, report(postgres))
            assert {found["reference"] for found in differences} == {line.reference for line in unknown}
            assert {found["difference"] for found in differences} == {"not_in_our_books"}
            assert {line.kind for line in unknown} == {"charge", "refund"}, "both kinds were made after the backup"
            # What is listed is what the processor has and the books have not, to the cent.
            client = Client(after, key)
            theirs = sum(_signed(line) for line in report(postgres)) - sum(_signed(line) for line in unknown)
            assert client.balances()["processor_receivable"] == theirs
            with working(after), paying(client) as count:
                wait_until(lambda: count() >= 5, "payments on the restored database")
            with working(after):
                wait_until(lambda: is_idle(restored), "the worker to settle and deliver what is new")
        assert command(restored, tmp_path, "ledger", "verify", "--head", head).returncode == 0
        check_webhooks(found, kept=events(restored), gone=gone)


def _signed(line: Line) -> int:
    return line.amount if line.kind == "charge" else -line.amount


def heads(server: PostgresServer) -> list[str]:
    """Return the heads of the chain, which the worker has logged as well."""
    with psycopg.connect(strings(server).superuser) as connection:
        rows = connection.execute("SELECT hash FROM ledger_seals ORDER BY number").fetchall()
    return [bytes(row[0]).hex() for row in rows]


def events(server: PostgresServer) -> dict[str, str]:
    """Return the body of each event."""
    with psycopg.connect(strings(server).superuser) as connection:
        return dict(connection.execute("SELECT id, body FROM events").fetchall())


def check_webhooks(found: Receiver, *, kept: dict[str, str], gone: dict[str, str]) -> None:
    """Each event that exists was delivered, before or after, always with the same body; none was made up."""
    delivered: dict[str, set[str]] = {}
    for request in list(found.requests):
        delivered.setdefault(request.headers["webhook-id"], set()).add(request.body.decode())
    assert set(kept) <= set(delivered)
    assert set(delivered) <= set(kept) | set(gone)
    assert all(delivered[event_id] == {body} for event_id, body in kept.items())


def test_a_dump_is_no_backup(lost: StormPostgres, journal: Database, postgres: Postgres, tmp_path: Path) -> None:
    """It restores rows and not the transaction IDs that order them: readers would wait for what never comes."""
    with psycopg.connect(strings(lost).superuser, autocommit=True) as connection:  # a server that has lived
        connection.execute("DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    with serving(lost, journal) as before:
        client = Client(before, make_key(strings(lost), "mer_alice"))
        for _ in range(3):
            client.json(client.create())
    dumped = subprocess.run(
        [_binary("pg_dump"), strings(lost).superuser], check=True, capture_output=True, text=True
    ).stdout
    other = StormPostgres(RUN, {"fsync": "off"})
    try:
        other.start()
        roles = "CREATE ROLE payments_owner; CREATE ROLE payments_app; CREATE ROLE payments_merchant;"
        with psycopg.connect(other.conninfo, autocommit=True) as connection:
            connection.execute(roles)
            connection.execute("CREATE ROLE payments_service LOGIN SUPERUSER PASSWORD 'app-password'")
            connection.execute("CREATE DATABASE payments")
        load = [_binary("psql"), "-q", "-v", "ON_ERROR_STOP=1", strings(other).superuser]
        subprocess.run(load, input=dumped, check=True, capture_output=True, text=True)
        verified = command(other, tmp_path, "ledger", "verify")
        assert verified.returncode == 1, verified.stderr
        assert "transaction_ids_ahead" in verified.stdout
    finally:
        other.stop()
