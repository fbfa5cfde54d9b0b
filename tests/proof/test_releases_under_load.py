"""Two releases at once under load, while the schema moves from the one's to the other's: nothing is lost or doubled."""

import contextlib
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import urllib3

from payments.repositories.schema import known_versions
from tests.service.cli.test_releases import previous as previous
from tests.service.fixtures import ApiKey, Postgres, make_database, make_key
from tests.service.server.processes import SERVICE, environment
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.rehearsal,
    # CPython leaks a socket that is reset between connect and handshake, as those of a process that ends are.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

#: Clients, and the payments that each of the four times must have seen the end of.
_CLIENTS, _ENOUGH = 3, 6
#: Seconds between two payments of a client: the load is not to keep processes from starting.
_PAUSE = 0.5
#: Seconds for a process to start, on a machine that has much else to do.
_START = 120.0
#: Seconds in which a request under one key has its final answer.
_GIVES_UP = 90.0
#: What is posted for a payment of 1000 that is refunded by 10.
_BOOKED = 990


@dataclass(kw_only=True)
class Release:
    """A process of one release."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/readyz", verify=False, timeout=5).status_code == 200
        return False


def begin(code: Path, command: str, postgres: Postgres, folder: Path) -> Release:
    """Start `payments api` or `worker` from a release's code."""
    folder.mkdir()
    variables = environment(postgres, folder, PYTHONPATH=str(code))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments", command], cwd=code, env=variables, stdout=log, stderr=subprocess.STDOUT
        )
    return Release(process=process, url=f"https://127.0.0.1:{variables['PORT']}", log=folder / "log")


@dataclass
class Clients:
    """Threads that make payments and refund them, each request under one key until its answer is final."""

    key: ApiKey
    urls: list[str]
    made: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    session: requests.Session = field(default_factory=requests.Session)

    def run(self, number: int) -> None:
        while not self.stop.is_set():
            try:
                self._one(number)
            except Exception as error:  # noqa: BLE001 - reported with the result
                self.wrong.append(repr(error))
            number += 1
            self.stop.wait(_PAUSE)

    def _one(self, number: int) -> None:
        token = ("tok_visa", "tok_visa", "tok_lost_approved")[number % 3]
        reference = uuid.uuid4().hex
        body = {"amount": 1000, "currency": "EUR", "payment_method": token, "reference": reference}
        first, again = self.settle(number, "/v1/payments", body)
        if first["id"] != again["id"]:
            self.wrong.append(f"one key made {first['id']} and {again['id']}")
        self.settle(number + 1, f"/v1/payments/{first['id']}/refunds", {"amount": 10})
        self.made.append(reference)

    def settle(self, turn: int, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send until it is final, each time to another release; then once more, which must be replayed."""
        headers = {**self.key.headers, "Idempotency-Key": uuid.uuid4().hex}
        end, final = time.monotonic() + _GIVES_UP, None
        while True:
            turn += 1
            response = self._send(self.urls[turn % len(self.urls)], path, body, headers)
            self.statuses.append(0 if response is None else response.status_code)
            if response is not None and response.status_code == 201:
                if final is not None:
                    if response.text != final.text:
                        self.wrong.append(f"replayed {final.text} as {response.text}")
                    return final.json(), response.json()
                final = response
                continue
            if response is not None and response.status_code not in (202, 409, 429, 500, 503):
                raise AssertionError(f"{path}: {response.status_code} {response.text}")
            assert time.monotonic() < end, f"{path}: no final answer, the last is {response and response.text}"
            time.sleep(0.1)

    def _send(self, url: str, path: str, body: object, headers: dict[str, str]) -> requests.Response | None:
        try:
            return self.session.post(url + path, json=body, headers=headers, timeout=30, verify=False)
        except requests.RequestException:
            return None  # that release has just ended, or not begun

    def wait_for_more(self) -> None:
        before = len(self.made)
        wait_until(lambda: len(self.made) >= before + _ENOUGH, f"{_ENOUGH} more payments; {self.wrong}")


@contextlib.contextmanager
def load(key: ApiKey, urls: list[str]) -> Iterator[Clients]:
    """Let clients work for the time of the block, then finish what they are at. `urls` may grow meanwhile."""
    clients = Clients(key=key, urls=urls)
    clients.session.trust_env = False
    threads = [threading.Thread(target=clients.run, args=(number,)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        clients.stop.set()
        for thread in threads:
            thread.join()
        clients.session.close()


def test_two_releases_share_a_moving_schema(postgres_server: str, previous: Path, tmp_path: Path) -> None:
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    postgres = make_database(postgres_server, "releases_under_load")
    _migrate_with(previous, postgres, tmp_path)
    old_version = _version(postgres)
    key = make_key(postgres, "mer_alice")
    with contextlib.ExitStack() as stack:

        def start(code: Path, command: str, name: str) -> Release:
            found = begin(code, command, postgres, tmp_path / name)
            stack.callback(found.process.wait, 40)
            stack.callback(found.process.terminate)
            return found

        old, old_worker = start(previous, "api", "old"), start(previous, "worker", "old-worker")
        wait_until(old.is_ready, f"the previous release; see {old.log}", timeout=_START)
        urls = [old.url]
        with load(key, urls) as clients:
            clients.wait_for_more()
            for early in [start(SERVICE, command, f"early-{command}") for command in ("api", "worker")]:
                assert early.process.wait(_START) == 3, early.log.read_text()
                assert f"not started: The schema version is {old_version}" in early.log.read_text()
            clients.wait_for_more()
            assert _version(postgres) == old_version
            _migrate_with(SERVICE, postgres, tmp_path)
            assert _version(postgres) == known_versions()[-1]
            new, new_worker = start(SERVICE, "api", "new"), start(SERVICE, "worker", "new-worker")
            wait_until(new.is_ready, f"this release; see {new.log}", timeout=_START)
            urls.append(new.url)
            clients.wait_for_more()
            for ended in (old, old_worker):
                assert ended.process.poll() is None, ended.log.read_text()
                ended.process.terminate()
                assert ended.process.wait(40) == 0
            urls.remove(old.url)
            clients.wait_for_more()
        print(  # noqa: T201 - `make proof` shows it
            f"releases: {len(clients.made)} payments,"
            f" {len(clients.statuses)} requests {dict(Counter(clients.statuses))}"
        )
        assert clients.wrong == []
        assert [new.process.poll(), new_worker.process.poll()] == [None, None]
        _assert_books(postgres, clients)
        verify = [sys.executable, "-m", "payments", "ledger", "verify"]
        variables = environment(postgres, tmp_path, PYTHONPATH=str(SERVICE))
        done = subprocess.run(verify, cwd=SERVICE, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _migrate_with(code: Path, postgres: Postgres, folder: Path) -> None:
    """Run `payments migrate` of a release, as its own deployment does."""
    owner = {"PGUSER": "payments_owner", "APP_DB_USER": "payments_service", "APP_DB_PASSWORD": "app-password"}
    done = subprocess.run(
        [sys.executable, "-m", "payments", "migrate"],
        cwd=code,
        env=environment(postgres, folder, PYTHONPATH=str(code), **owner),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _version(postgres: Postgres) -> str:
    with psycopg.connect(postgres.superuser) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def _assert_books(postgres: Postgres, clients: Clients) -> None:
    """Each payment is there once, charged once by the sandbox, refunded once, and booked."""
    with psycopg.connect(postgres.superuser) as connection:
        payments = connection.execute("SELECT reference, status, amount_captured - amount_refunded FROM payments")
        found = payments.fetchall()
        charged = connection.execute(
            "SELECT a.payment_id, count(*) FILTER (WHERE j.kind = 'payment'), count(*) FILTER (WHERE j.kind = 'refund')"
            " FROM sandbox_journal j JOIN attempts a ON a.id = j.attempt_id WHERE j.outcome = 'approved' GROUP BY 1"
        ).fetchall()
        owed = connection.execute(
            "SELECT sum(CASE WHEN debit_account = 'processor_receivable' THEN amount ELSE -amount END)"
            " FROM ledger_transfers WHERE 'processor_receivable' IN (debit_account, credit_account)"
        ).fetchone()
    assert Counter(reference for reference, *_ in found) == Counter(clients.made)
    assert {tuple(rest) for _, *rest in found} == {("succeeded", _BOOKED)}
    assert {tuple(counts) for _, *counts in charged} == {(1, 1)}
    assert len(charged) == len(found)
    assert owed == (_BOOKED * len(found),)
