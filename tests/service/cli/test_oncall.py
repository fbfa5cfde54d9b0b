"""On-call commands: what they print, what their exit codes mean, and who is audited."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psycopg
import pytest

from payments.cli import common
from payments.cli.common import EXIT_FAILED, EXIT_FOUND, EXIT_OK
from payments.cli.main import main
from payments.core.settings import Settings
from payments.observability import logs
from payments.repositories.database import Database
from payments.services import ledger_integrity
from payments.services.context import Context
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres

Run = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


@pytest.fixture
def run(client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; return its exit code, its lines on standard output, and standard error."""

    @contextmanager
    def context(_: Settings, *, name: str) -> Iterator[Context]:
        yield client.context

    monkeypatch.setattr(common, "command_context", context)
    monkeypatch.setattr(logs, "configure", lambda **_: None)
    for name in ("ECS_CONTAINER_METADATA_URI_V4", "AWS_EXECUTION_ENV"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        try:
            code = main(list(arguments))
        except SystemExit as stopped:  # argparse has said why
            code = int(str(stopped.code))
        written = capsys.readouterr()
        return code, [json.loads(line) for line in written.out.splitlines()], written.err

    return command


def execute(postgres: Postgres, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


# ---- ledger verify ---------------------------------------------------------------------------------------------------
def test_ledger_verify_reports_problems(run: Run, client: Client, postgres: Postgres) -> None:
    client.create()
    code, (report,), stderr = run("ledger", "verify")
    assert (code, report["problems"], report["unsealed_transfers"]) == (EXIT_OK, [], 2)
    assert stderr == "payments ledger verify: 0 problems.\n"
    execute(postgres, "UPDATE payments SET amount_refunded = 1")
    code, (report,), _ = run("ledger", "verify")
    assert (code, report["problems"][0]["problem"]) == (EXIT_FOUND, "payment_differs")


def test_a_head_from_the_log_detects_a_rewritten_chain(
    run: Run, client: Client, postgres: Postgres, database: Database
) -> None:
    """Whoever owns the database can make everything in it agree. The log is somebody else's."""
    client.create()
    ledger_integrity.seal(client.context)
    _, (before,), _ = run("ledger", "verify")
    assert run("ledger", "verify", "--head", before["head"].upper())[0] == EXIT_OK
    with psycopg.connect(postgres.superuser) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM ledger_seals")
        owner.execute("UPDATE ledger_transfers SET amount = amount * 2")
        owner.execute("UPDATE payments SET amount = 2000, amount_authorized = 2000, amount_captured = 2000")
    ledger_integrity.seal(client.context)
    assert run("ledger", "verify")[0] == EXIT_OK, "in itself it is sound"
    code, (report,), _ = run("ledger", "verify", "--head", before["head"])
    assert (code, report["problems"]) == (EXIT_FOUND, [{"problem": "head_not_in_chain", "head": before["head"]}])


# ---- stuck and resolve -----------------------------------------------------------------------------------------------
def make_stuck(client: Client, postgres: Postgres, token: str = "tok_lost_approved", **fields: Any) -> str:
    """Create a payment whose outcome has been unknown for an hour; return its attempt."""
    client.create(token, **fields)
    hour = "now() - interval '1 hour'"
    ((attempt,),) = execute(
        postgres,
        f"UPDATE attempts SET created_at = {hour}, deadline_at = {hour} WHERE status = 'open' RETURNING id",
    )
    return str(attempt)


def test_stuck_and_resolve(run: Run, client: Client, postgres: Postgres) -> None:
    assert run("stuck") == (EXIT_OK, [], "payments stuck: 0 attempts need a person.\n")
    attempt = make_stuck(client, postgres)
    code, (row,), _ = run("stuck")
    assert (code, row["attempt"], row["kind"], row["amount"]) == (EXIT_FOUND, attempt, "payment", 1000)
    arguments = ("resolve", attempt, "--outcome", "approved", "--evidence", "dashboard", "--actor", "ann")
    code, printed, stderr = run(*arguments)
    assert (code, printed) == (EXIT_FAILED, [])
    assert "--reference" in stderr
    assert execute(postgres, "SELECT status FROM attempts") == [("open",)]
    code, (done,), _ = run(*arguments, "--reference", "sbx_ch_1")
    assert (code, done) == (
        EXIT_OK,
        {"attempt": attempt, "outcome": "approved", "payment": row["payment"], "status": "succeeded"},
    )
    code, _, stderr = run(*arguments, "--reference", "sbx_ch_1")
    assert (code, "payments stuck" in stderr) == (EXIT_FAILED, True)
    assert run("stuck")[0] == EXIT_OK
    assert execute(postgres, "SELECT actor, details->>'reference' FROM audit_log") == [("cli:ann", "sbx_ch_1")]


def test_an_attempt_that_is_being_sent_cannot_be_resolved(run: Run, client: Client, postgres: Postgres) -> None:
    """What a person found not done a minute ago, the worker may be doing now."""
    attempt = make_stuck(client, postgres)
    execute(postgres, "UPDATE attempts SET deadline_at = now() + interval '10 s'")
    code, _, stderr = run("resolve", attempt, "--outcome", "not_done", "--evidence", "dashboard")
    assert (code, "ten seconds" in stderr) == (EXIT_FAILED, True)
    assert execute(postgres, "SELECT status, generation FROM attempts") == [("open", 1)]


def test_another_payments_reference_is_rejected(run: Run, client: Client, postgres: Postgres) -> None:
    client.create()
    ((taken,),) = execute(postgres, "SELECT processor_reference FROM payments")
    attempt = make_stuck(client, postgres)
    code, _, stderr = run("resolve", attempt, "--outcome", "approved", "--evidence", "x", "--reference", taken)
    assert (code, "belongs to another" in stderr) == (EXIT_FAILED, True)


def test_the_processor_must_be_configured(run: Run, client: Client, postgres: Postgres) -> None:
    attempt = make_stuck(client, postgres)
    execute(postgres, "UPDATE attempts SET processor = 'gone'")
    code, _, stderr = run("resolve", attempt, "--outcome", "declined", "--evidence", "x")
    assert (code, "gone is not configured" in stderr) == (EXIT_FAILED, True)
    assert execute(postgres, "SELECT generation FROM attempts") == [(1,)], "nothing was taken over"


# ---- who acts --------------------------------------------------------------------------------------------------------
@contextmanager
def task_metadata(response: bytes) -> Iterator[str]:
    """What ECS offers to a container about itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v4/abc/task" else 404)
            self.end_headers()
            self.wfile.write(response)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v4/abc"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_in_the_cloud_person_and_task_are_audited(
    run: Run, client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is what CloudTrail knows the caller by."""
    attempt = make_stuck(client, postgres)
    arguments = ("resolve", attempt, "--outcome", "declined", "--evidence", "dashboard")
    with task_metadata(b'{"TaskARN": "arn:aws:ecs:us-east-1:111111111111:task/ecs-cluster-dev/0a1b"}') as uri:
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", uri)
        code, _, stderr = run(*arguments)
        assert (code, "--actor" in stderr) == (EXIT_FAILED, True)
        assert execute(postgres, "SELECT count(*) FROM audit_log") == [(0,)]
        assert run(*arguments, "--actor", "ann")[0] == EXIT_OK
    assert execute(postgres, "SELECT actor FROM audit_log") == [("cli:ann task:0a1b",)]


def test_an_unknown_task_is_an_error(
    run: Run, client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = make_stuck(client, postgres)
    with task_metadata(b"not json") as uri:
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", uri)
        code, _, stderr = run("resolve", attempt, "--outcome", "declined", "--evidence", "x", "--actor", "ann")
    assert (code, "task's ID" in stderr) == (EXIT_FAILED, True)


@pytest.mark.parametrize("name", ["", "ann\nbob", "x" * 65, "-ann"])
def test_a_malformed_actor_is_rejected(run: Run, name: str) -> None:
    code, _, stderr = run("resolve", "att_1", "--outcome", "declined", "--evidence", "x", f"--actor={name}")
    assert (code, "--actor" in stderr) == (EXIT_FAILED, True)


def test_a_user_without_a_name_is_audited_by_number(
    run: Run, client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    attempt = make_stuck(client, postgres)
    assert run("resolve", attempt, "--outcome", "declined", "--evidence", "x")[0] == EXIT_OK
    ((actor,),) = execute(postgres, "SELECT actor FROM audit_log")
    assert actor.removeprefix("cli:").isdigit()


def test_a_database_that_goes_away_is_reported_in_one_line(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Database("host=/nowhere", size=1, timeout=0.1)
    try:
        monkeypatch.setattr(common, "command_context", lambda *_, **__: nullcontext(sandbox_context(nowhere, nowhere)))
        code, _, stderr = run("stuck")
        assert code == EXIT_FAILED
        assert stderr.startswith("payments stuck: database error")
    finally:
        nowhere.close()


# ---- unmapped --------------------------------------------------------------------------------------------------------
def make_unmapped(postgres: Postgres, *events: str) -> None:
    with psycopg.connect(postgres.superuser) as connection:
        for event in events:
            connection.execute(
                "INSERT INTO processor_inbox (processor, event_id, livemode, type, processor_references, state, reason)"
                " VALUES ('stripe', %s, false, 'refund.created', '{re_1}', 'unmapped', 'fits nothing')",
                [event],
            )


def test_unmapped_events_are_listed_retried_and_resolved(run: Run, client: Client, postgres: Postgres) -> None:
    assert run("unmapped", "list") == (EXIT_OK, [], "payments unmapped: 0 processor events need a person.\n")
    make_unmapped(postgres, "evt_1", "evt_2")
    code, rows, _ = run("unmapped", "list")
    assert code == EXIT_FOUND
    assert [(row["event_id"], row["references"], row["reason"]) for row in rows] == [
        ("evt_1", ["re_1"], "fits nothing"),
        ("evt_2", ["re_1"], "fits nothing"),
    ]
    assert run("unmapped", "retry", "evt_1") == (EXIT_OK, [{"event": "evt_1", "state": "open"}], "")
    assert execute(postgres, "SELECT state FROM processor_inbox WHERE event_id = 'evt_1'") == [("open",)]
    resolved = run("unmapped", "resolve", "evt_2", "--evidence", "TICKET-18", "--actor", "ann")
    assert resolved == (EXIT_OK, [{"event": "evt_2", "state": "resolved"}], "")
    assert run("unmapped", "list")[0] == EXIT_OK
    assert execute(postgres, "SELECT actor, action, subject, details->>'evidence' FROM audit_log") == [
        ("cli:ann", "processor_event.resolve", "evt_2", "TICKET-18")
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["retry", "evt_0"], "no open or unmapped event evt_0"),
        (["resolve", "evt_0", "--evidence", "x"], "no open or unmapped event evt_0"),
        (["resolve", "evt_0", "--evidence", " "], "Say how the difference was dealt with"),
    ],
    ids=["retry", "resolve", "no evidence"],
)
def test_what_is_not_unmapped_is_refused(run: Run, arguments: list[str], reason: str) -> None:
    code, rows, stderr = run("unmapped", *arguments)
    assert (code, rows, reason in stderr) == (EXIT_FAILED, [], True)
