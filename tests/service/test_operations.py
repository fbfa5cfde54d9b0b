"""What people on call and the environment tell the service: settings, logs, metrics, commands, loops."""

import json
import logging
import sys
import threading
from typing import Any

import psycopg
import pytest

from payments.core.settings import Settings, SettingsError
from payments.domain import webhooks
from payments.domain.api_keys import compose, new_secret
from payments.observability import logs, timing
from payments.observability.metrics import Metrics
from payments.repositories.database import Database, DatabaseUnavailable
from payments.services.wiring import make_context, routes
from payments.worker.loops import Loop, run_loop
from payments.worker.main import loops
from payments.worker.watchdog import Watchdog
from tests.service.api import Client, sandbox_context
from tests.service.conftest import ApiKey, Postgres


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


# ---- settings ----------------------------------------
def test_settings_are_those_of_the_task_definition() -> None:
    settings = Settings.from_environment(
        {
            "ENVIRONMENT": "dev-alice",
            "BIND_HOST": "0.0.0.0",
            "PORT": "8443",
            "PUBLIC_BASE_URL": "https://api.example/",
            "ALLOW_LIVE_KEYS": "true",
            "PROCESSOR": "stripe",
            "STRIPE_API_KEY": "sk_live_x",
            "STRIPE_WEBHOOK_SECRET": "whsec_x",
            "SOMETHING_ELSE": "is not ours",
        }
    )
    assert (settings.environment, settings.bind_host, settings.port) == ("dev-alice", "0.0.0.0", 8443)
    assert settings.public_base_url == "https://api.example"
    assert (settings.allow_live_keys, settings.processor) == (True, "stripe")
    assert "sk_live_x" not in repr(settings)
    assert "whsec_x" not in repr(settings)


def test_settings_default_to_a_machine_of_ones_own() -> None:
    assert Settings.from_environment({"PORT": "9000", "PROCESSOR": ""}) == Settings(
        port=9000, public_base_url="https://localhost:9000"
    )


WRONG = [
    ({"PORT": "eighty"}, "PORT"),
    ({"PORT": "65536"}, "PORT"),
    ({"PUBLIC_BASE_URL": "http://x"}, "PUBLIC_BASE_URL"),
    ({"ALLOW_LIVE_KEYS": "yes"}, "ALLOW_LIVE_KEYS"),
    ({"PROCESSOR": "acme"}, "PROCESSOR"),
    ({"ENVIRONMENT": "a b"}, "ENVIRONMENT"),
    ({"MAX_IN_FLIGHT": "0"}, "MAX_IN_FLIGHT"),
    ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
    ({"PROCESSOR": "stripe"}, "STRIPE_API_KEY"),
    ({"ALLOW_LIVE_KEYS": "true", "ALLOW_LOCAL_WEBHOOKS": "true"}, "ALLOW_LOCAL_WEBHOOKS"),
]


@pytest.mark.parametrize(("environ", "named"), WRONG, ids=str)
def test_a_setting_that_cannot_be_used_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_environment(environ)


def test_test_mode_never_goes_to_a_live_account() -> None:
    live = Settings(processor="stripe", stripe_api_key="sk_live_x", stripe_webhook_secret="x")
    assert routes(live) == {False: "sandbox", True: "stripe"}
    test = Settings(processor="stripe", stripe_api_key="sk_test_x", stripe_webhook_secret="x")
    assert routes(test) == {False: "stripe", True: "stripe"}
    assert routes(Settings()) == {False: "sandbox", True: "sandbox"}


# ---- logs, metrics, timing ---------------------------
def test_a_log_line_is_one_json_object() -> None:
    formatter = logs.JsonFormatter(environment="test", process="api")
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "said %s", ("so",), __import__("sys").exc_info(), extra={"payment_id": "pay_1"}
        )
    line = json.loads(formatter.format(record))
    assert (line["message"], line["level"], line["payment_id"], line["process"]) == ("said so", "ERROR", "pay_1", "api")
    assert "ValueError: broken" in line["exception"]
    assert "\n" not in formatter.format(record)


def test_no_secret_gets_into_a_log_line_not_even_by_an_exception(postgres: Postgres) -> None:
    formatter = logs.JsonFormatter(environment="test", process="api")
    token = compose(livemode=True, key_id="0123456789ab", secret=new_secret())
    signing = webhooks.new_secret()
    with psycopg.connect(postgres.superuser) as connection:
        try:
            connection.execute(
                "INSERT INTO merchants (id, name, fee_basis_points) VALUES ('mer_1', %s, -1)", ["Ann " + "Smith"]
            )
        except psycopg.errors.CheckViolation:
            quoting = sys.exc_info()
    record = logging.getLogger("x").makeRecord(
        "x", logging.ERROR, "f", 1, "said %s", (token,), quoting, extra={"header": f"Bearer {token}", "also": signing}
    )
    line = formatter.format(record)
    for secret in (token, token.rpartition("_")[2], signing, "Ann Smith"):
        assert secret not in line
    assert "sk_live_(not logged)" in line
    assert "DETAIL: (not logged)" in line
    assert "whsec_(not logged)" in line
    assert "merchants_fee_basis_points_check" in json.loads(line)["exception"], "what went wrong is still told"


def test_metrics_are_summed_up_and_written_as_emf() -> None:
    metrics = Metrics("dev")
    for _ in range(3):
        metrics.count("Payments", dimension="Outcome", value="succeeded")
    for value in range(150):
        metrics.sample("ProcessorLatency", value, unit="Milliseconds")
    documents = list(metrics.drain(now=1.5))
    assert documents[0] == {
        "_aws": {
            "Timestamp": 1500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Payments",
                    "Dimensions": [["Environment", "Outcome"]],
                    "Metrics": [{"Name": "Payments", "Unit": "Count"}],
                }
            ],
        },
        "Environment": "dev",
        "Outcome": "succeeded",
        "Payments": 3,
    }
    assert [len(document["ProcessorLatency"]) for document in documents[1:]] == [100, 50]
    assert list(metrics.drain()) == []
    written: list[str] = []
    metrics.sample("x", 1, unit="Count")
    metrics.flush(written.append)
    assert json.loads(written[0])["x"] == [1]


def test_spans_add_up() -> None:
    timing.begin()
    for _ in range(2):
        with timing.span("database"):
            pass
    spent = timing.milliseconds()
    assert set(spent) == {"total", "database"}
    assert 0 <= spent["database"] <= spent["total"]


# ---- the worker's loops ------------------------------
def test_a_loop_goes_on_while_there_is_work_and_after_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.worker.loops._AFTER_FAILURE", 0.0)
    stop = threading.Event()
    script: list[Any] = [
        True,
        DatabaseUnavailable(),
        psycopg.OperationalError(),
        RuntimeError("a mistake"),
        True,
        False,
    ]

    def work() -> bool:
        step = script.pop(0)
        if not script:
            stop.set()
        if isinstance(step, Exception):
            raise step
        return bool(step)

    watchdog = Watchdog(limit=-1.0)
    closed: list[list[str]] = []
    run_loop(Loop(name="test", interval=0.0, run=work, close=lambda: closed.append(watchdog.hanging())), stop, watchdog)
    assert script == [], "every round came"
    assert closed == [[]], "closed once, when it was no longer running"


def test_every_loop_of_the_worker_runs_on_an_empty_database(client: Client) -> None:
    found = loops(client.context)
    names = [loop.name for loop in found]
    assert {
        "recovery_sandbox",
        "authorizations",
        "ledger_rollup",
        "ledger_sealer",
        "idempotency_keys",
        "backlog",
    } <= set(names)
    assert len(set(names)) == len(names)
    for loop in found:
        assert loop.run() is False, loop.name
        loop.close()


def test_a_context_has_the_configured_processors(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> None:
    monkeypatch.setenv("PGHOST", "/nowhere")
    context = make_context(
        Settings(processor="stripe", stripe_api_key="sk_test_x", stripe_webhook_secret="whsec_x"), name="test"
    )
    context.database.close()
    assert set(context.processors) == {"sandbox", "stripe"}
    assert context.processor_for(livemode=False).name == "stripe"
