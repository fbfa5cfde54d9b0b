"""The real processes: HTTPS, 64 concurrent requests, draining on SIGTERM, health checks, refused credentials."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import requests
import urllib3

from tests.service.fixtures import ApiKey, Postgres
from tests.service.server.processes import SERVICE, Started, environment, healthcheck, is_healthy, listens, start
from tests.waiting import wait_until

pytestmark = pytest.mark.rehearsal

PAYMENT = {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"}
IN_FLIGHT = 64
#: Of these, payments: the rest is kept for what waits for no processor.
PAYMENTS = 48


@pytest.fixture
def api(postgres: Postgres, tmp_path: Path) -> Iterator[Started]:
    patient = "-c lock_timeout=30s -c statement_timeout=30s"
    variables = environment(postgres, tmp_path, DB_POOL_SIZE="80", MAX_IN_FLIGHT=str(IN_FLIGHT), PGOPTIONS=patient)
    started = start("api", variables, tmp_path)
    try:
        wait_until(lambda: is_healthy(started), "the api's health check")
        yield started
    finally:
        started.stop()


@pytest.fixture(autouse=True)
def _self_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's certificate is vouched for by nobody, as between load balancer and task."""
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def post(url: str, key: ApiKey, idempotency_key: str) -> requests.Response:
    headers = {**key.headers, "Idempotency-Key": idempotency_key}
    return requests.post(f"{url}/v1/payments", json=PAYMENT, headers=headers, verify=False, timeout=60)


def post_again(url: str, key: ApiKey, idempotency_key: str) -> requests.Response:
    """Post, again while the pool has no connection yet: a busy machine is slow to open 64 of them."""
    while True:
        response = post(url, key, idempotency_key)
        if response.status_code != 503:
            return response


def test_the_api_serves_drains_and_exits(api: Started, postgres: Postgres, key: ApiKey) -> None:
    first = post(api.url, key, "first")
    assert first.status_code == 201
    assert first.headers["Server"].isalpha(), "no version"
    spans = {part.split(";")[0] for part in first.headers["Server-Timing"].split(", ")}
    assert spans >= {"total", "database", "processor"}
    assert requests.get(f"{api.url}/readyz", verify=False, timeout=5).status_code == 200
    with psycopg.connect(postgres.superuser) as holder, ThreadPoolExecutor(PAYMENTS) as threads:
        holder.execute("LOCK TABLE payments IN SHARE MODE")  # every new payment waits, up to the api's patience
        responses = [threads.submit(post_again, api.url, key, f"key-{number}") for number in range(PAYMENTS)]
        wait_until(lambda: count_blocked(postgres) >= PAYMENTS, f"{PAYMENTS} payments in flight")
        assert post(api.url, key, "one too many").status_code == 429
        full = requests.get(f"{api.url}/healthz", verify=False, timeout=5)
        assert full.status_code == 200, "a full process is not a dead one"
        api.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(api.environment["PORT"]), "the drain")
        holder.rollback()
        statuses = [response.result().status_code for response in responses]
        assert set(statuses) <= {201, 202}, "all are served, on a busy machine some before their outcome is known"
    assert api.process.wait(40) == 0
    assert healthcheck(api) == 1
    lines = api.lines()
    served = [line for line in lines if line.get("message") == "request" and line.get("status") != 503]
    requests_logged = [line for line in served if line["route"] == "/v1/payments"]
    assert len(requests_logged) == PAYMENTS + 2
    assert requests_logged[0]["request_id"] == first.headers["Request-Id"]
    counted = [line["Payments"] for line in lines if "_aws" in line and line.get("Outcome") == "succeeded"]
    assert sum(counted) == statuses.count(201) + 1, "metrics are flushed at the end"
    assert key.token not in api.log.read_text()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_the_api_requires_tls_1_2(api: Started) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", int(api.environment["PORT"]))) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw)


def count_blocked(postgres: Postgres) -> int:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    assert row is not None
    return int(row[0])


def test_the_worker_settles_open_attempts_and_exits(api: Started, key: ApiKey, tmp_path: Path) -> None:
    headers = {**key.headers, "Idempotency-Key": "lost"}
    body = {**PAYMENT, "payment_method": "tok_lost_approved"}
    made = requests.post(f"{api.url}/v1/payments", json=body, headers=headers, verify=False, timeout=10).json()
    assert made["status"] == "processing"

    def status() -> str:
        url = f"{api.url}/v1/payments/{made['id']}"
        return str(requests.get(url, headers=key.headers, verify=False, timeout=5).json()["status"])

    folder = tmp_path / "worker"
    folder.mkdir()
    worker = start("worker", {**api.environment, "TMPDIR": str(folder)}, folder)
    try:
        wait_until(lambda: status() != "processing", "the worker's look-up")
        assert status() == "succeeded"
        assert healthcheck(worker) == 0
    finally:
        assert worker.stop() == 0
    heartbeat = folder / "payments-worker-heartbeat"
    heartbeat.write_text(str(time.monotonic_ns() - 60 * 10**9))
    assert healthcheck(worker) == 1


def test_a_worker_exits_though_a_loop_hangs(tmp_path: Path) -> None:
    """The interpreter would wait for its threads for ever."""
    script = """
import sys, threading
from payments.cli.main import main as run
from payments.worker import main
from payments.worker.loops import Loop
main._DRAIN = 0.1
hang = threading.Event()
main.all_loops = lambda *_: [Loop(name="stuck", interval=1, run=lambda: sys.stdout.write("hanging\\n") and hang.wait())]
run(["worker"])
"""
    variables = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PGHOST": "/nowhere", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=SERVICE, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "hanging" not in process.stdout.readline():
            assert process.poll() is None
        process.terminate()
        assert process.wait(40) == 0
        assert "loops did not finish in time" in process.stdout.read()


def test_a_process_exits_when_its_credentials_are_refused(postgres: Postgres, tmp_path: Path) -> None:
    variables = environment(postgres, tmp_path, PGPASSWORD="rotated-away")
    for command in ("api", "worker"):
        started = start(command, variables, tmp_path)
        code = started.process.wait(60)
        assert "rejects the credentials" in started.log.read_text()
        assert (code != 0) == (command == "worker"), "the api drains as on SIGTERM; the worker says why it ends"


def test_an_invalid_setting_is_reported_at_once(tmp_path: Path, postgres: Postgres) -> None:
    started = start("api", environment(postgres, tmp_path, PROCESSOR="acme"), tmp_path)
    assert started.process.wait(30) == 2
    assert started.log.read_text() == "payments api: PROCESSOR must be 'sandbox' or 'stripe'.\n"


def test_migrate_reports_that_there_is_nothing_to_do(postgres: Postgres, tmp_path: Path) -> None:
    variables = environment(postgres, tmp_path, PGUSER="payments_owner")
    started = start("migrate", variables, tmp_path)
    assert started.process.wait(30) == 0
    assert [line["message"] for line in started.lines()] == ["nothing to migrate"]
    failed = start("migrate", {**variables, "APP_DB_USER": "x"}, tmp_path)
    assert failed.process.wait(30) == 1
    assert "APP_DB_PASSWORD belong together" in failed.log.read_text()


def test_a_command_prints_its_result_and_nothing_else(postgres: Postgres, tmp_path: Path) -> None:
    """So that its output can be read by a program, and the log of a one-off container by a person."""
    command = [sys.executable, "-m", "payments", "ledger", "verify"]
    ended = subprocess.run(
        command, cwd=SERVICE, env=environment(postgres, tmp_path), check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "payments ledger verify: 0 problems.\n")
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["problems"] == []
