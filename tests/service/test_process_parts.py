"""Parts of the processes, one by one: certificates, health check, the worker's life."""

import stat
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest
from cryptography import x509

from payments import healthcheck
from payments.certificates import make_self_signed
from payments.repositories import api_keys
from payments.repositories.database import Database
from payments.settings import Settings
from payments.web.main import flush
from payments.worker import main as worker
from payments.worker.loops import Loop
from tests.service.api import Client, sandbox_context
from tests.service.conftest import ApiKey


@pytest.mark.parametrize("host", ["127.0.0.5", "0.0.0.0", "api.internal"])
def test_a_certificate_is_made_for_the_host_and_its_key_is_for_nobody_else(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = make_self_signed(host)
    assert files.key.is_relative_to(tmp_path)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert host in {str(name.value) for name in names}


def test_the_health_check_of_a_worker_looks_at_its_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    heartbeat = tmp_path / "payments-worker-heartbeat"
    heartbeat.touch()
    assert healthcheck.main() == 0
    monkeypatch.setattr(healthcheck, "MAX_AGE", -1.0)
    assert healthcheck.main() == 1


def test_the_health_check_of_an_api_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("BIND_HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "1")
    assert healthcheck.main() == 1


@pytest.mark.parametrize(("refused", "code"), [(False, 0), (True, 3)])
def test_the_worker_runs_until_it_is_stopped_or_refused(
    database: Database, journal: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool, code: int
) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT", tmp_path / "heartbeat")
    stop, codes = threading.Event(), []
    context = sandbox_context(database, journal)
    thread = threading.Thread(target=lambda: codes.append(worker.run(context, Settings(), stop)))
    try:
        if refused:
            database.credentials_refused.set()
        thread.start()
        time.sleep(0.1 if refused else 1.2)
        if not refused:
            stop.set()
        thread.join(20)
    finally:
        stop.set()
        database.credentials_refused.clear()
    assert codes == [code]
    assert (tmp_path / "heartbeat").exists()


def test_a_worker_whose_loop_hangs_stops_beating_and_still_ends(
    database: Database,
    journal: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, released, stop = threading.Event(), threading.Event(), threading.Event()
    told: list[str] = []
    codes: list[int] = []

    def hang() -> bool:
        begun.set()
        return released.wait(60)

    class Log:
        """Ends the worker once it has said that a loop hangs."""

        def error(self, message: str, **_: object) -> None:
            told.append(message)
            stop.set()

        def warning(self, message: str, **_: object) -> None:
            told.append(message)

        def info(self, message: str, **_: object) -> None:
            """Nothing of interest."""

    monkeypatch.setattr(worker, "HEARTBEAT", tmp_path / "heartbeat")
    monkeypatch.setattr(worker, "loops", lambda *_: [Loop(name="stuck", interval=0.1, run=hang)])
    monkeypatch.setattr(worker, "_LONGEST_ROUND", -1.0)
    monkeypatch.setattr(worker, "_DRAIN", 0.0)
    monkeypatch.setattr(worker, "_log", Log())
    context = sandbox_context(database, journal)
    thread = threading.Thread(target=lambda: codes.append(worker.run(context, Settings(), stop)))
    thread.start()
    thread.join(20)
    stop.set()
    released.set()
    thread.join(20)
    assert codes == [0]
    assert begun.is_set()
    assert told == ["loops hang", "loops did not finish in time"]


def test_a_database_that_is_down_costs_the_times_of_use_and_nothing_else(
    database: Database,
    journal: Database,
    key: ApiKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(sandbox_context(database, journal), key)
    client.get("/v1/payments")

    def fail(*_: object) -> None:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(api_keys, "write_last_used", fail)
    flush(client.app, client.context)
    assert "times of use not written" in caplog.text
    with database.transaction() as tx:
        assert tx.execute("SELECT last_used_at FROM api_keys").fetchall() == [{"last_used_at": None}]


def test_a_process_without_database_is_alive_and_not_ready(key: ApiKey) -> None:
    unreachable = Database("host=/nowhere", size=1, timeout=0.1)
    try:
        client = Client(sandbox_context(unreachable, unreachable), key)
        assert client.http().get("/healthz").status_code == 200
        answer = client.http().get("/readyz")
        assert (answer.status_code, answer.get_json()["code"]) == (503, "service_unavailable")
    finally:
        unreachable.close()


def test_times_of_use_are_written_in_batches(database: Database, journal: Database, key: ApiKey) -> None:
    client = Client(sandbox_context(database, journal), key)
    client.get("/v1/payments")
    flush(client.app, client.context)
    with database.transaction() as tx:
        row = tx.execute("SELECT last_used_at FROM api_keys").fetchone()
    assert row is not None
    assert row["last_used_at"] is not None
    flush(client.app, client.context)
