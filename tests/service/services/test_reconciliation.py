"""`payments reconcile`: a processor's report is compared with our ledger, whatever is wrong with either."""

import io
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from payments.cli.common import EXIT_FAILED, EXIT_FOUND, EXIT_OK
from payments.repositories import settlement_lines
from payments.repositories.connection import Connection
from payments.server.certificate import self_signed
from payments.services import reconciliation
from payments.services.reconciliation import ReportError
from tests.service.api import Client
from tests.service.cli.test_oncall import Run, client, run
from tests.service.fixtures import Postgres, make_key

__all__ = ["client", "run"]
HEADER = "kind,reference,currency,amount,fee,settled_on\n"
TODAY = datetime.now(UTC).date()


def references(postgres: Postgres, kind: str) -> list[str]:
    """The processor's ids of what we have, oldest first."""
    table = {"charge": "payments", "refund": "operations"}[kind]
    with psycopg.connect(postgres.superuser) as connection:
        rows = connection.execute(f"SELECT processor_reference FROM {table} ORDER BY id").fetchall()
    return [str(row[0]) for row in rows]


@pytest.fixture
def report(tmp_path: Path) -> Any:
    """Write a report of the given lines; returns its path."""

    def write(*lines: str, name: str = "report.csv") -> str:
        (tmp_path / name).write_text(HEADER + "".join(line + "\n" for line in lines))
        return str(tmp_path / name)

    return write


def differences(rows: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(row["difference"], row["line"]) for row in rows]


def test_a_report_without_differences_can_be_reimported(
    run: Run, client: Client, postgres: Postgres, report: Any
) -> None:
    payment_id = client.json(client.create())["id"]
    client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 300}))
    (charge,), (refund,) = references(postgres, "charge"), references(postgres, "refund")
    path = report(f"charge,{charge},EUR,1000,20,{TODAY}", f"refund,{refund},EUR,300,0,{TODAY}")
    for _ in range(2):
        code, rows, said = run("reconcile", path, "--processor", "sandbox")
        assert (code, rows) == (EXIT_OK, [])
        assert said == "payments reconcile: 2 lines compared, 0 differences.\n"
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM settlement_lines").fetchone() == (2,)
        acts = connection.execute("SELECT action, subject, details->>'lines' FROM audit_log").fetchall()
    assert acts == [("report.reconcile", "report.csv", "2")] * 2


@pytest.mark.parametrize("step", ["store", "differences"])
def test_no_other_import_comes_between(
    run: Run, client: Client, report: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Half of another report would be compared otherwise, or one report stored twice."""
    original, excluded = getattr(settlement_lines, step), []

    def alone(tx: Connection, **named: Any) -> Any:
        assert tx.execute("SHOW statement_timeout").fetchall() == [{"statement_timeout": "0"}], "of a large report"
        with client.context.database.transaction() as other:
            other.limit_lock_waits(1)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                settlement_lines.lock(other)
            excluded.append(step)
        return original(tx, **named)

    monkeypatch.setattr(settlement_lines, step, alone)
    run("reconcile", report(f"charge,theirs_only,EUR,5,0,{TODAY}"), "--processor", "sandbox")
    assert excluded == [step]


def test_every_difference_is_listed(run: Run, client: Client, postgres: Postgres, report: Any) -> None:
    for _ in range(3):
        client.create()
    payment_id = client.json(client.create())["id"]
    client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 300}))
    charges, (refund,) = references(postgres, "charge"), references(postgres, "refund")
    path = report(
        f"charge,{charges[0]},EUR,999,20,{TODAY}",
        f"charge,{charges[1]},USD,1000,20,{TODAY}",
        f"charge,theirs_only,EUR,5,0,{TODAY}",
        f"charge,{charges[3]},EUR,1000,20,{TODAY}",
        f"charge,{refund},EUR,300,0,{TODAY}",
    )
    code, rows, _ = run("reconcile", path, "--processor", "sandbox")
    assert code == EXIT_FOUND
    assert differences(rows) == [
        ("amount_differs", 2),
        ("currency_differs", 3),
        ("not_in_our_books", 4),
        ("not_in_our_books", 6),  # a refund is not a charge
        ("not_in_the_report", None),
        ("not_in_the_report", None),
    ]
    assert (rows[0]["our_amount"], rows[0]["their_amount"]) == (1000, 999)
    assert {row["reference"] for row in rows[4:]} == {charges[2], refund}


def test_a_charge_settled_twice_is_a_difference(run: Run, client: Client, postgres: Postgres, report: Any) -> None:
    client.create()
    (charge,) = references(postgres, "charge")
    line = f"charge,{charge},EUR,1000,20,{TODAY}"
    assert run("reconcile", report(line, name="monday.csv"), "--processor", "sandbox")[0] == EXIT_OK
    code, (row,), _ = run("reconcile", report(line, name="tuesday.csv"), "--processor", "sandbox")
    assert (code, row["difference"], row["their_amount"]) == (EXIT_FOUND, "amount_differs", 2000)
    assert row["reports"] == ["monday.csv", "tuesday.csv"]
    client.create()
    other = f"charge,{references(postgres, 'charge')[1]},EUR,1000,20,{TODAY}"
    _, (row, unsolved), _ = run("reconcile", report(other, other, name="twice.csv"), "--processor", "sandbox")
    assert (row["line"], row["difference"], row["their_amount"]) == (2, "amount_differs", 2000)
    assert (unsolved["line"], unsolved["reference"]) == (None, charge), "of the same day, and still not solved"


def test_parts_settled_on_several_days_add_up(run: Run, client: Client, postgres: Postgres, report: Any) -> None:
    payment_id = client.json(client.create(capture_method="manual"))["id"]
    (charge,) = references(postgres, "charge")
    client.json(client.post(f"/v1/payments/{payment_id}/capture", {"amount": 400, "final": False}))
    first = report(f"charge,{charge},EUR,400,0,{TODAY}", name="first.csv")
    assert run("reconcile", first, "--processor", "sandbox")[0] == EXIT_OK
    client.json(client.post(f"/v1/payments/{payment_id}/capture", {"amount": 600}))
    lacking = report(f"charge,other,EUR,1,0,{TODAY}", name="lacking.csv")
    _, rows, _ = run("reconcile", lacking, "--processor", "sandbox")
    assert [row["difference"] for row in rows] == ["not_in_our_books", "amount_differs"], "the second part is missing"
    second = report(f"charge,{charge},EUR,600,0,{TODAY}", name="second.csv")
    assert run("reconcile", second, "--processor", "sandbox")[0] == EXIT_OK


def test_only_the_days_of_the_report_are_compared(run: Run, client: Client, postgres: Postgres, report: Any) -> None:
    client.create()
    yesterday = report(f"charge,theirs_only,EUR,1,0,{TODAY - timedelta(days=1)}")
    _, rows, _ = run("reconcile", yesterday, "--processor", "sandbox")
    assert differences(rows) == [("not_in_our_books", 2)]


def test_a_report_of_the_other_mode_is_recognized(run: Run, client: Client, postgres: Postgres, report: Any) -> None:
    live = Client(client.context, make_key(postgres, "mer_alice2", livemode=True))
    live.create()
    (charge,) = references(postgres, "charge")
    path = report(f"charge,{charge},EUR,1000,20,{TODAY}")
    _, (row,), _ = run("reconcile", path, "--processor", "sandbox")
    assert row["difference"] == "of_the_other_mode"
    assert run("reconcile", path, "--processor", "sandbox", "--live")[0] == EXIT_OK


def test_another_report_of_the_same_name_needs_replace(
    run: Run, client: Client, postgres: Postgres, report: Any
) -> None:
    client.create()
    (charge,) = references(postgres, "charge")
    assert run("reconcile", report(f"charge,{charge},EUR,10,0,{TODAY}"), "--processor", "sandbox")[0] == EXIT_FOUND
    corrected = report(f"charge,{charge},EUR,1000,0,{TODAY}")
    code, rows, said = run("reconcile", corrected, "--processor", "sandbox")
    assert (code, rows) == (EXIT_FAILED, [])
    assert "--replace" in said
    assert run("reconcile", corrected, "--processor", "sandbox", "--replace")[:2] == (EXIT_OK, [])
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT amount FROM settlement_lines").fetchall() == [(1000,)]
        acts = connection.execute("SELECT details->>'replaced' FROM audit_log ORDER BY xid").fetchall()
    assert acts == [("false",), ("true",)]


def test_an_unknown_processor_is_rejected(run: Run, report: Any) -> None:
    code, _, said = run("reconcile", report("x"), "--processor", "strpe")
    assert (code, "--processor: invalid choice" in said) == (EXIT_FAILED, True)


LINE = f"charge,x,EUR,1,0,{TODAY}"
BAD_REPORTS = {
    "nothing": ("", "must begin with"),
    "other columns": ("kind,reference\n", "must begin with"),
    "no lines": (HEADER, "no lines"),
    "an unknown kind": (HEADER + LINE.replace("charge", "fee"), "Line 2: kind"),
    "no reference": (HEADER + LINE.replace("x", ""), "Line 2: reference"),
    "a reference with a NUL": (HEADER + LINE.replace("x", "a\0b"), "Line 2: reference|not CSV"),
    "no currency": (HEADER + LINE.replace("EUR", "ABC"), "Line 2: currency"),
    "a fraction": (HEADER + LINE.replace(",1,", ",1.5,"), "Line 2: amount"),
    "a negative amount": (HEADER + LINE.replace(",1,", ",-1,"), "Line 2: amount"),
    "an amount beyond ours": (HEADER + LINE.replace(",1,", ",1000000000000,"), "Line 2: amount"),
    "no fee": (HEADER + LINE.replace(",0,", ",,"), "Line 2: amount"),
    "no date": (HEADER + LINE.replace(str(TODAY), "yesterday"), "Line 2: settled_on"),
    "a day that is none": (HEADER + LINE.replace(str(TODAY), "2026-02-31"), "Line 2: settled_on"),
    "a short line": (HEADER + LINE + "\ncharge,x", "Line 3: expected 6 fields, found 2"),
    "a long line": (HEADER + LINE + ",more", "Line 2: expected 6 fields, found 7"),
    "an open quote": (HEADER + LINE + '\ncharge,"x', "not CSV"),
}


@pytest.mark.parametrize(("text", "error"), BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_malformed_report(text: str, error: str) -> None:
    with pytest.raises(ReportError, match=error):
        reconciliation.parse(io.StringIO(text, newline=""), processor="sandbox")


def test_nothing_is_stored_of_a_malformed_report(run: Run, client: Client, postgres: Postgres, report: Any) -> None:
    code, _, said = run("reconcile", report(LINE, "charge"), "--processor", "sandbox")
    assert (code, said) == (EXIT_FAILED, "payments reconcile: Line 3: expected 6 fields, found 1.\n")
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM settlement_lines").fetchone() == (0,)


# ---- sources of reports
def test_a_file_that_cannot_be_read_is_reported(run: Run, tmp_path: Path) -> None:
    code, _, said = run("reconcile", str(tmp_path / "none.csv"), "--processor", "sandbox")
    assert (code, "cannot be read: No such file" in said) == (EXIT_FAILED, True)
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    code, _, said = run("reconcile", str(tmp_path / "picture"), "--processor", "sandbox")
    assert (code, "not CSV in UTF-8" in said) == (EXIT_FAILED, True)


def test_a_report_from_standard_input_must_be_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def piped() -> SimpleNamespace:
        return SimpleNamespace(buffer=io.BytesIO(b"\xef\xbb\xbf" + (HEADER + LINE).encode()))  # as spreadsheets write

    monkeypatch.setattr(sys, "stdin", piped())
    code, _, said = run("reconcile", "-", "--processor", "sandbox")
    assert (code, "--report" in said) == (EXIT_FAILED, True)
    code, rows, _ = run("reconcile", "-", "--processor", "sandbox", "--report", "today")
    assert (code, differences(rows)) == (EXIT_FOUND, [("not_in_our_books", 2)])


@contextmanager
def store(body: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An object store over HTTPS with presigned links; yields the base of the links."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/reports/day.csv?signature=password"
            self.send_response(200 if found else 302 if "moved" in self.path else 403)
            self.send_header("Location", "https://localhost/")
            self.end_headers()
            if found:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with self_signed("127.0.0.1") as files:
        tls.load_cert_chain(files.certificate, files.key)
        server = HTTPServer(("127.0.0.1", 0), Handler)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files.certificate))
        try:
            yield f"https://127.0.0.1:{server.server_port}/reports"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def test_a_report_can_be_fetched_from_a_link(
    run: Run, client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store((HEADER + LINE).encode(), monkeypatch) as reports:
        code, rows, said = run("reconcile", f"{reports}/day.csv?signature=password", "--processor", "sandbox")
        assert (code, differences(rows)) == (EXIT_FOUND, [("not_in_our_books", 2)])
        assert "password" not in said
        for path, why in (("old.csv?signature=password", "returned 403"), ("moved", "returned 302")):
            code, _, said = run("reconcile", f"{reports}/{path}", "--processor", "sandbox")
            assert (code, why in said) == (EXIT_FAILED, True)
            assert "password" not in said
        monkeypatch.setattr("payments.cli.report_sources._MAX_BYTES", 10)
        code, _, said = run("reconcile", f"{reports}/day.csv?signature=password", "--processor", "sandbox")
        assert (code, "larger" in said) == (EXIT_FAILED, True)
    for why in ("CA certificate bundle", "ConnectionError"):
        code, _, said = run("reconcile", f"{reports}/day.csv?signature=password", "--processor", "sandbox")
        assert (code, why in said, "password" in said) == (EXIT_FAILED, True, False), said
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT DISTINCT report FROM settlement_lines").fetchall() == [("day.csv",)]
