"""Administrators' commands create the first merchant and key, and never let a key into a log."""

import contextlib
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from payments.cli import common
from payments.cli.common import EXIT_FAILED
from payments.cli.main import main
from payments.repositories.database import Database
from payments.services.context import Context
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.receivers import Receiver, receiver

Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def context(database: Database, journal: Database) -> Context:
    return sandbox_context(database, journal)


@pytest.fixture
def run(context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `payments ...`; return the exit code, the printed JSON and standard error."""
    monkeypatch.setattr(common, "command_context", lambda *_, **__: contextlib.nullcontext(context))
    # The process's logging would outlive this test and write to an output that is captured no longer.
    monkeypatch.setattr("payments.observability.logs.configure", lambda **_: None)
    for name in ("ECS_CONTAINER_METADATA_URI_V4", "AWS_EXECUTION_ENV"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "ALLOW_LIVE_KEYS": "true",
        "PROCESSOR": "stripe",
        "STRIPE_API_KEY": "sk_live_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
        try:
            code = main(list(arguments))
        except SystemExit as stopped:  # argparse has said why
            code = int(str(stopped.code))
        printed = capsys.readouterr()
        lines = [json.loads(line) for line in printed.out.splitlines() if line.startswith("{")]
        return code, {name: value for line in lines for name, value in line.items()}, printed.err

    return run


@pytest.fixture
def merchant(run: Run) -> str:
    return str(run("merchant", "create", "--name", "Shop")[1]["merchant"])


def _create(run: Run, merchant: str, to: str, *more: str, mode: str = "test") -> tuple[int, dict[str, Any], str]:
    return run("key", "create", "--merchant", merchant, "--mode", mode, "--name", "first", "--to", to, *more)


def _works(context: Context, token: str, path: str = "/v1/payments") -> bool:
    key = ApiKey(merchant_id="", livemode=False, token=token)
    return Client(context, key).get(path).status_code == 200


def test_the_first_merchant_and_key_work(run: Run, merchant: str, context: Context, tmp_path: Path) -> None:
    code, printed, _ = _create(run, merchant, f"file:{tmp_path}/key.json", mode="live")
    assert code == 0
    kept = json.loads((tmp_path / "key.json").read_text())
    assert kept["api_key"].startswith("sk_live_")
    assert (kept["id"], kept["merchant"]) == (printed["key"], merchant)
    assert "api_key" not in printed
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    assert _works(context, kept["api_key"])


def test_a_key_has_the_requested_scopes_and_expiry(
    run: Run, merchant: str, context: Context, postgres: Postgres
) -> None:
    _, printed, _ = _create(run, merchant, "-", "--scopes", "events:read, payments:read", "--expires-in-days", "2")
    assert _works(context, printed["api_key"])
    assert not _works(context, printed["api_key"], "/v1/balances")
    with psycopg.connect(postgres.superuser) as connection:
        row = connection.execute("SELECT expires_at - created_at = interval '2 days' FROM api_keys").fetchone()
    assert row == (True,)


@pytest.mark.parametrize("name", ["ECS_CONTAINER_METADATA_URI_V4", "AWS_EXECUTION_ENV"])
def test_in_the_cloud_no_key_is_printed(
    run: Run, merchant: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    code, printed, stderr = _create(run, merchant, "-")
    assert (code, printed) == (EXIT_FAILED, {})
    assert "ARN" in stderr
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{found.port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield found


_ARN = "arn:aws:secretsmanager:us-east-1:111111111111:secret:first-key-AbCdEf"


def test_a_key_is_written_to_its_secret(
    run: Run, merchant: str, context: Context, secrets_manager: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE")
    code, printed, _ = _create(run, merchant, _ARN, "--actor", "ann")
    assert code == 0
    assert "api_key" not in printed
    (request,) = secrets_manager.requests
    assert request.headers["x-amz-target"] == "secretsmanager.PutSecretValue"
    body = json.loads(request.body)
    assert body["SecretId"] == _ARN
    assert _works(context, json.loads(body["SecretString"])["api_key"])


def test_a_key_that_cannot_be_delivered_is_not_created(
    run: Run, merchant: str, secrets_manager: Receiver, postgres: Postgres
) -> None:
    secrets_manager.statuses = [400]
    code, _, stderr = _create(run, merchant, _ARN)
    assert code == EXIT_FAILED
    assert "PutSecretValue" in stderr
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)


def test_a_rotation_keeps_the_old_key_for_the_overlap(run: Run, merchant: str, context: Context) -> None:
    _, first, _ = _create(run, merchant, "-")
    code, second, _ = run("key", "rotate", str(first["key"]), "--overlap-hours", "1", "--to", "-")
    assert code == 0
    assert second["merchant"] == merchant
    assert _works(context, first["api_key"])
    assert _works(context, second["api_key"])
    assert run("key", "rotate", str(first["key"]), "--to", "-")[0] == EXIT_FAILED


def test_a_revoked_key_stops_working(run: Run, merchant: str, context: Context) -> None:
    _, first, _ = _create(run, merchant, "-")
    assert run("key", "revoke", str(first["key"]))[:2] == (0, {"revoked": first["key"]})
    assert not _works(context, first["api_key"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["merchant", "create", "--name", " "], "--name"),
        (["merchant", "create", "--name", "n", "--fee-basis-points", "10001"], "--fee-basis-points"),
        (["key", "create", "--merchant", "mer_x", "--mode", "test", "--name", "n", "--to", "-"], "No such merchant"),
        (["key", "revoke", "key_x"], "No such API key"),
        (["key", "rotate", "key_x", "--to", "-"], "No such API key"),
        (
            ["key", "rotate", "key_x", "--to", "-", "--overlap-hours", "1000"],
            "--overlap-hours: takes hours from 0 to 168",
        ),
        (["key", "rotate", "key_x", "--to", "nowhere"], "file:PATH"),
        (["key", "rotate", "key_x", "--to", "arn:aws"], "file:PATH"),
    ],
)
def test_an_error_says_what_to_do(run: Run, arguments: list[str], expected: str) -> None:
    code, _, stderr = run(*arguments)
    assert code == EXIT_FAILED
    assert expected in stderr


@pytest.mark.parametrize(
    ("more", "expected"), [(["--scopes", "fly"], "--scopes"), (["--expires-in-days", "0"], "--expires-in-days")]
)
def test_invalid_options_are_rejected(run: Run, merchant: str, more: list[str], expected: str) -> None:
    code, _, stderr = _create(run, merchant, "-", *more)
    assert code == EXIT_FAILED
    assert expected in stderr


def test_live_keys_are_created_only_where_accepted(run: Run, merchant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_LIVE_KEYS", "false")
    monkeypatch.setenv("PROCESSOR", "sandbox")
    code, _, stderr = _create(run, merchant, "-", mode="live")
    assert code == EXIT_FAILED
    assert "test keys only" in stderr


def test_an_existing_file_is_not_overwritten(run: Run, merchant: str, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("precious")
    code, _, stderr = _create(run, merchant, f"file:{tmp_path}/key.json")
    assert code == EXIT_FAILED
    assert "exists" in stderr
    assert (tmp_path / "key.json").read_text() == "precious"
    assert _create(run, merchant, f"file:{tmp_path}/nowhere/key.json")[0] == EXIT_FAILED


def test_every_act_is_audited_with_its_actor(run: Run, merchant: str, postgres: Postgres) -> None:
    _, first, _ = _create(run, merchant, "-")
    run("key", "rotate", str(first["key"]), "--to", "-")
    run("key", "revoke", str(first["key"]))
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute("SELECT action, actor, details::text FROM audit_log ORDER BY xid, id").fetchall()
    acts = ["merchant.create", "api_key.create", "api_key.create", "api_key.rotate", "api_key.revoke"]
    assert sorted(row[0] for row in rows) == sorted(acts)
    assert all(row[1].startswith("cli:") for row in rows)
    assert first["api_key"] not in str(rows)
