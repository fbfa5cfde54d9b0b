"""The command line as its users meet it: a process that says what is wrong, in one line, and ends cleanly."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from payments.cli.main import main
from tests.service.fixtures import ApiKey, Postgres, make_database
from tests.service.lossy_proxy import LossyProxy, Lost
from tests.service.scripted import execute
from tests.waiting import wait_until

SERVICE = Path(__file__).parents[3] / "service"
#: One call of every command that uses the database.
COMMANDS = {
    "merchant create": ["merchant", "create", "--name", "Shop"],
    "key create": ["key", "create", "--merchant", "mer_x", "--mode", "test", "--name", "n", "--to", "-"],
    "key rotate": ["key", "rotate", "key_x", "--to", "-"],
    "key revoke": ["key", "revoke", "key_x"],
    "stuck": ["stuck"],
    "resolve": ["resolve", "att_x", "--outcome", "declined", "--evidence", "e"],
    "ledger verify": ["ledger", "verify"],
    "reconcile": ["reconcile", "REPORT", "--processor", "sandbox"],
}


def environment(conninfo: str, **changes: str) -> dict[str, str]:
    """Return the environment of a process that connects to ``conninfo``."""
    names = {"dbname": "PGDATABASE"}
    values = {names.get(name, f"PG{name.upper()}"): str(value) for name, value in conninfo_to_dict(conninfo).items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(SERVICE), "PYTHONDEVMODE": "1", **values, **changes}


#: `python -m payments`, except that it waits 3 s for a database instead of 30.
IMPATIENT = """import sys
from payments.cli import common
from payments.cli.main import main
assert common._POOL_TIMEOUT == 30.0
common._POOL_TIMEOUT = 3.0
sys.exit(main())"""


def run(
    arguments: list[str], environ: Mapping[str, str], *, stdout: int = subprocess.PIPE, impatient: bool = False
) -> subprocess.CompletedProcess[str]:
    program = ["-c", IMPATIENT] if impatient else ["-m", "payments"]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


def assert_clean(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """Assert the exit code, that standard error is one line that says so, and that nothing else ended badly."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "Warning" not in done.stderr
    for text in said:
        assert text in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("payments")]) == 1, done.stderr


@pytest.fixture
def report(tmp_path: Path) -> str:
    file = tmp_path / "report.csv"
    file.write_text("kind,reference,currency,amount,fee,settled_on\ncharge,ch_1,EUR,1,0,2026-11-01\n")
    return str(file)


# ---- every command ----------------------------------------
@pytest.mark.parametrize("command", COMMANDS)
def test_no_connection_is_one_line(command: str, report: str) -> None:
    arguments = [report if word == "REPORT" else word for word in COMMANDS[command]]
    refused = environment("host=127.0.0.1 port=1 user=u dbname=d password=hunter2")
    done = run(arguments, refused)
    assert_clean(done, 2, "no connection to the database: nothing listens there", "PGPORT")
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_cleanly(postgres: Postgres, command: str, report: str) -> None:
    arguments = [report if word == "REPORT" else word for word in COMMANDS[command]]
    done = run(arguments, environment(postgres.app))
    expected = {"merchant create": 0, "stuck": 0, "ledger verify": 0, "reconcile": 1}
    assert done.returncode == expected.get(command, 2), done.stderr
    for unwanted in ("Traceback", "Exception ignored", "Warning"):
        assert unwanted not in done.stderr


# ---- what each loads ----------------------------------------
#: Libraries that take long to load, and what does without them: every task waits for `migrate`, and then for the api.
NEEDLESS = {
    "migrate": {"alembic", "sqlalchemy", "stripe", "requests", "flask"},
    "stuck": {"alembic", "sqlalchemy", "stripe", "flask"},
    "api": {"alembic", "sqlalchemy", "stripe", "requests"},
    "worker": {"alembic", "sqlalchemy", "stripe", "requests", "flask"},
}
#: What a process logs once it has started.
STARTED = {"api": b"listening on", "worker": b"worker started"}


@pytest.mark.parametrize("command", NEEDLESS)
def test_nothing_needless_is_loaded(postgres: Postgres, tmp_path: Path, command: str) -> None:
    conninfo = postgres.owner if command == "migrate" else postgres.app
    environ = environment(conninfo, PYTHONPROFILEIMPORTTIME="1", PORT="0", TMPDIR=str(tmp_path))
    with (tmp_path / "loaded").open("w+") as loaded:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments", command], env=environ, stdout=subprocess.PIPE, stderr=loaded
        )
        with process:
            assert process.stdout is not None
            if command in STARTED:
                assert any(STARTED[command] in line for line in process.stdout)
                process.terminate()
            process.stdout.read()
        assert process.returncode == 0
        loaded.seek(0)
        packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in loaded}
    assert "psycopg" in packages
    assert not packages & NEEDLESS[command]


# ---- causes ----------------------------------------
@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def web() -> Iterator[int]:
    """A port on which something else than PostgreSQL answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(1024)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)  # closing alone leaves the thread in accept()


#: Changes to a working environment, and what must be said of each.
CAUSES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "password": ({"PGPASSWORD": "wrong"}, ("refuses the credentials", "PGPASSWORD")),
    "no password": ({"PGPASSWORD": ""}, ("refuses the credentials", "PGPASSWORD")),
    "user": ({"PGUSER": "nobody_here"}, ("refuses the credentials", "PGUSER")),
    "database": ({"PGDATABASE": "nowhere"}, ("no such database", "PGDATABASE")),
    "host": ({"PGHOST": "nowhere.invalid"}, ("PGHOST is unknown", "host $PGHOST")),
    "refused": ({"PGHOST": "127.0.0.1", "PGPORT": "1"}, ("nothing listens there", "PGPORT")),
    "socket": ({"PGHOST": "/nowhere"}, ("Unix socket", "PGHOST")),
    "port": ({"PGPORT": "eighty"}, ("malformed", "eighty")),
    "huge port": ({"PGPORT": "99999"}, ("malformed", "99999")),
    "sslmode": ({"PGSSLMODE": "maybe"}, ("malformed", "maybe")),
    "no tls": ({"PGHOST": "127.0.0.1", "PGPORT": "PROXY", "PGSSLMODE": "require"}, ("TLS", "PGSSLMODE")),
    "no roots": (
        {"PGHOST": "127.0.0.1", "PGPORT": "PROXY", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nowhere.pem"},
        ("TLS", "PGSSLROOTCERT"),
    ),
    "reader": ({"PGOPTIONS": "-c default_transaction_read_only=on"}, ("reader", "PGHOST")),
    "silence": ({"PGHOST": "127.0.0.1", "PGPORT": "SILENT"}, ("no answer from that address", "security groups")),
    "web": ({"PGHOST": "127.0.0.1", "PGPORT": "WEB"}, ("not PostgreSQL", "PGPORT")),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_is_named(
    postgres: Postgres, silent: int, web: int, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, said = CAUSES[cause]
    with LossyProxy(postgres.app) as proxy:
        ports = {"PROXY": conninfo_to_dict(proxy.conninfo)["port"], "SILENT": silent, "WEB": web}
        changed = {name: str(ports.get(value, value)) for name, value in changes.items()}
        done = run(["stuck"], environment(postgres.app, **changed), impatient=True)
    assert_clean(done, 2, *said)
    assert "app-password" not in done.stderr


def test_an_older_schema_is_named(postgres_server: str) -> None:
    empty = make_database(postgres_server, "command_line_empty")
    assert_clean(run(["stuck"], environment(empty.superuser)), 2, "this release needs", "`payments migrate`")


# ---- ends ----------------------------------------
def test_a_reader_that_leaves(postgres: Postgres, key: ApiKey) -> None:
    """A key that nobody received is not created."""
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ["key", "create", "--merchant", key.merchant_id, "--mode", "test", "--name", "n", "--to", "-"]
    done = run(arguments, environment(postgres.app), stdout=writing)
    os.close(writing)
    assert_clean(done, 4, "the output cannot be written")
    assert execute(postgres, "SELECT count(*) FROM api_keys") == [(1,)]


def test_a_full_disk(postgres: Postgres, key: ApiKey) -> None:
    with Path("/dev/full").open("w") as full:
        arguments = ["key", "create", "--merchant", key.merchant_id, "--mode", "test", "--name", "n", "--to", "-"]
        done = run(arguments, environment(postgres.app), stdout=full.fileno())
    assert_clean(done, 4, "the output cannot be written")
    assert execute(postgres, "SELECT count(*) FROM api_keys") == [(1,)]


def test_a_commit_without_an_answer(postgres: Postgres) -> None:
    with LossyProxy(postgres.app) as proxy:
        proxy.lose(b"COMMIT", Lost.ANSWER)
        done = run(["merchant", "create", "--name", "Shop"], environment(proxy.conninfo))
    assert_clean(done, 4, "may have been done")


def test_ctrl_c(postgres: Postgres) -> None:
    with psycopg.connect(postgres.superuser) as holder:
        holder.execute("LOCK TABLE merchants IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen(
            # Where these tests run in the background of a script, SIGINT is ignored, and so it would be here.
            ["env", "--default-signal=INT", sys.executable, "-m", "payments", "merchant", "create", "--name", "Shop"],
            env=environment(postgres.app, PGOPTIONS="-c lock_timeout=60s -c statement_timeout=60s"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'payments_service'"
            wait_until(lambda: execute(postgres, waits), "the command to wait for a lock")
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (
        130,
        "payments merchant: interrupted. What it has not reported may have been done.\n",
    )
    assert execute(postgres, "SELECT 1 FROM merchants") == []


# ---- values ----------------------------------------
LONG = "x" * 100_000
TEXTS = ["", " ", "a\0b", "a\nb", "\udcff", LONG]
NUMBERS = ["", " ", "-1", "1.5", "nan", "inf", "1e3", "1_0", "\u0661", "0x1", "999999999", "9" * 5000, "\0", "\udcff"]
IDS = ["", "x", "mer-x", "\0", "\udcff", LONG, "sk_test_a_" + "s" * 43, "mer_\u0661", "att_" + "x" * 65]
FILES = ["file:", "file:/", "file:\0", "file:/nowhere/x", f"file:/{LONG}", "nowhere", "", "arn:aws", "\udcff"]


def set_aside(values: list[str], valid: str) -> list[str]:
    return [value for value in values if value != valid]


KEY = ["key", "create", "--merchant", "mer_x", "--mode", "test", "--name", "n", "--to", "-"]
#: The words before an option or argument, and values that it refuses.
REFUSED = [
    (["merchant", "create", "--name="], TEXTS),
    (["merchant", "create", "--name=n", "--fee-basis-points="], [*NUMBERS, "10001"]),
    (["merchant", "create", "--name=n", "--actor="], ["", "a b", "\0", "\udcff", LONG]),
    (["key", "create", "--mode=test", "--name=n", "--to=-", "--merchant="], IDS),
    ([*KEY, "--mode="], ["", "TEST", "\0", "\udcff", LONG]),
    ([*KEY, "--name="], TEXTS),
    ([*KEY, "--scopes="], ["", ",", "fly", "all,all", "\0", "\udcff", LONG]),
    ([*KEY, "--expires-in-days="], [*NUMBERS, "0", "36501"]),
    ([*KEY, "--to="], FILES),
    (["key", "rotate", "--to=-", "--overlap-hours=1", "--", ""], IDS),
    (["key", "rotate", "key_x", "--to=-", "--overlap-hours="], [*set_aside(NUMBERS, "1.5"), "168.1", "1e400"]),
    (["key", "rotate", "key_x", "--to="], FILES),
    (["key", "revoke", "--", ""], IDS),
    (["resolve", "--outcome=declined", "--evidence=e", "--", ""], IDS),
    (["resolve", "att_x", "--evidence=e", "--outcome="], ["", "unknown", "\0", "\udcff"]),
    (["resolve", "att_x", "--outcome=declined", "--evidence="], TEXTS),
    (["resolve", "att_x", "--outcome=declined", "--evidence=e", "--reference="], TEXTS),
    (["ledger", "verify", "--head="], ["", "0", "g" * 64, "0" * 65, "\0", "\udcff"]),
    (["reconcile", "REPORT", "--processor="], ["", "acme", "\0", "\udcff"]),
    (["reconcile", "REPORT", "--processor=sandbox", "--report="], TEXTS),
    (
        ["reconcile", "--processor=sandbox", "--report=r", "--", ""],
        ["", "/", "/nowhere", "\0", "https://[", "https://", LONG],
    ),
    (["stuck", ""], ["sk_test_surplus", "--surplus=sk_test_a"]),
    ([""], ["", "fly", "\0", "\udcff", "sk_test_a"]),
]
CASES = [(before, value) for before, values in REFUSED for value in values]


@pytest.mark.parametrize(("before", "value"), CASES, ids=map(str, range(len(CASES))))
def test_a_value_is_refused(
    before: list[str], value: str, report: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 2 and a reason, before the database is asked; the value is not repeated."""
    monkeypatch.setenv("PGHOST", "/nowhere")
    monkeypatch.setattr("payments.observability.logs.configure", lambda **_: None)
    *words, last = [report if word == "REPORT" else word for word in before]
    try:
        code = main([*words, last + value])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert "no connection" not in printed.err
    reason = printed.err.splitlines()[-1]
    assert reason.startswith("payments")
    assert len(reason) < 700
    assert "sk_test" not in printed.err
