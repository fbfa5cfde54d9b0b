"""Parts of the processes: certificate, flushing, readiness."""

import stat
import tempfile
from pathlib import Path

import psycopg
import pytest
from cryptography import x509

from payments.repositories import api_keys
from payments.repositories.database import Database
from payments.server import main
from payments.server.certificate import self_signed
from payments.server.main import flush
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey


@pytest.mark.parametrize("host", ["127.0.0.5", "0.0.0.0", "api.internal"])
def test_the_certificate_fits_its_host(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with self_signed(host) as files:
        assert files.key.is_relative_to(tmp_path)
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert not any(tmp_path.iterdir()), "no key is left once it is loaded"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert host in {str(name.value) for name in names}


def test_flushing_survives_a_database_that_is_down(
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
    assert "times of last use not written" in caplog.text
    with database.transaction() as tx:
        assert tx.execute("SELECT last_used_at FROM api_keys").fetchall() == [{"last_used_at": None}]


def test_a_failed_flush_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that died would take the metrics with it, and alarms take silence for health."""
    calls: list[int] = []

    class Enough(BaseException):
        """Ends the thread's endless loop."""

    def fail(*_: object) -> None:
        calls.append(len(calls))
        raise ValueError("not now") if len(calls) < 3 else Enough

    monkeypatch.setattr(main, "flush", fail)
    with pytest.raises(Enough):
        main._flush_forever(None, None, 0.0)  # type: ignore[arg-type]  # only handed on
    assert caplog.text.count("flush failed") == 2


def test_without_a_database_alive_but_not_ready(key: ApiKey) -> None:
    unreachable = Database("host=/nowhere", size=1, timeout=0.1)
    try:
        client = Client(sandbox_context(unreachable, unreachable), key)
        assert client.http().get("/healthz").status_code == 200
        response = client.http().get("/readyz")
        assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
    finally:
        unreachable.close()


def test_times_of_last_use_are_flushed(database: Database, journal: Database, key: ApiKey) -> None:
    client = Client(sandbox_context(database, journal), key)
    client.get("/v1/payments")
    flush(client.app, client.context)
    with database.transaction() as tx:
        row = tx.execute("SELECT last_used_at FROM api_keys").fetchone()
    assert row is not None
    assert row["last_used_at"] is not None
    flush(client.app, client.context)
