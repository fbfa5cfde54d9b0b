"""All connections to the database held: requests are refused in time, nothing of them is begun, and it passes."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
import requests
import urllib3
from psycopg.conninfo import conninfo_to_dict

from tests.proof.link import Link, Network, Weather
from tests.service.fixtures import ApiKey, Postgres
from tests.service.server.processes import Started, environment, is_healthy, start
from tests.waiting import wait_until

pytestmark = pytest.mark.rehearsal

#: Seconds that a client waits for an answer: `docs/api.md` says 30, and a busy machine may add as much.
_PATIENCE = 60.0
#: Requests of each kind at once: many more than there are connections.
_REQUESTS = 24
#: 503: nothing was begun. 500 `outcome_unknown`, 202: it may have been. 409: another request with the payment's lock.
_ANSWERS = {200, 201, 202, 402, 409, 429, 500, 503}


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """An api with a few connections, and how they can be held."""

    started: Started
    postgres: Postgres
    key: ApiKey
    link: Link
    session: requests.Session

    def send(self, method: str, path: str, key: str = "", **more: object) -> requests.Response:
        headers = {**self.key.headers, **({"Idempotency-Key": key} if key else {})}
        url = self.started.url + path
        return self.session.request(method, url, headers=headers, timeout=_PATIENCE, **more)  # type: ignore[arg-type]  # of requests

    def pay(self, reference: str) -> requests.Response:
        body = {"amount": 500, "currency": "EUR", "payment_method": "tok_visa", "reference": reference}
        return self.send("POST", "/v1/payments", reference, json=body)

    def is_paid(self, reference: str) -> bool:
        return self.pay(reference).status_code == 201

    def count(self, reference: str) -> int:
        with psycopg.connect(self.postgres.superuser) as connection:
            row = connection.execute("SELECT count(*) FROM payments WHERE reference = %s", [reference]).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def attacked(postgres: Postgres, key: ApiKey, tmp_path: Path) -> Iterator[Attacked]:
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    network = Network()
    link = network.link(f"{conninfo_to_dict(postgres.app)['host']}/.s.PGSQL.5432")
    way = {"PGHOST": "127.0.0.1", "PGPORT": str(link.port), "PGSSLMODE": "disable", "DB_POOL_SIZE": "8"}
    started = start("api", environment(postgres, tmp_path, **way), tmp_path)
    with requests.Session() as session:
        session.verify, session.trust_env = False, False
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=4 * _REQUESTS))
        try:
            wait_until(lambda: is_healthy(started), "the api's health check")
            yield Attacked(started=started, postgres=postgres, key=key, link=link, session=session)
        finally:
            link.set(Weather.OPEN)
            assert started.stop() == 0
            network.close()


@contextlib.contextmanager
def tables(attacked: Attacked) -> Iterator[None]:
    """Another session has locked what every request reads or writes."""
    with psycopg.connect(attacked.postgres.superuser) as connection:
        connection.execute("LOCK TABLE payments, idempotency_keys IN ACCESS EXCLUSIVE MODE")
        yield


@contextlib.contextmanager
def rows(attacked: Attacked) -> Iterator[None]:
    """Another session has locked the row of the payment that is refunded."""
    with psycopg.connect(attacked.postgres.superuser) as connection:
        connection.execute("SELECT FROM payments WHERE reference = 'before' FOR UPDATE")
        yield


@contextlib.contextmanager
def hung(attacked: Attacked) -> Iterator[None]:
    """The server accepts what it is sent, and does not answer: it keeps none of its own time-outs."""
    attacked.link.set(Weather.SILENT)
    yield
    attacked.link.set(Weather.OPEN)


@pytest.mark.parametrize("hold", [tables, rows, hung], ids=lambda hold: str(hold.__name__))
def test_an_exhausted_pool_refuses_and_recovers(
    attacked: Attacked, hold: Callable[[Attacked], contextlib.AbstractContextManager[None]]
) -> None:
    payment = attacked.pay("before").json()["id"]
    answers: list[tuple[str, int, float]] = []

    def ask(what: str, send: Callable[[], requests.Response]) -> requests.Response:
        at = time.monotonic()
        response = send()
        answers.append((what, response.status_code, time.monotonic() - at))
        return response

    with hold(attacked), ThreadPoolExecutor(3 * _REQUESTS) as threads:
        refunds = [
            threads.submit(
                ask,
                "refund",
                partial(
                    attacked.send, "POST", f"/v1/payments/{payment}/refunds", f"refund-{number}", json={"amount": 1}
                ),
            )
            for number in range(_REQUESTS)
        ]
        created = [
            threads.submit(ask, "create", partial(attacked.pay, f"order-{number}")) for number in range(_REQUESTS)
        ]
        read = [
            threads.submit(ask, "read", lambda: attacked.send("GET", "/v1/payments?limit=1")) for _ in range(_REQUESTS)
        ]
        while not all(request.done() for request in (*refunds, *created, *read)):
            assert attacked.send("GET", "/healthz").status_code == 200, "it is no reason to end the process"
            time.sleep(0.2)  # a health check every few seconds, as ECS does
        for request in (*refunds, *read):
            request.result()  # it was answered: otherwise, this raises
        found = {f"order-{number}": request.result() for number, request in enumerate(created)}
        refused = [reference for reference, response in found.items() if response.status_code in (429, 503)]
        slowest = max(seconds for *_, seconds in answers)
        print(f"{hold.__name__}: {Counter(a[:2] for a in answers)}, slowest {slowest:.1f} s")  # noqa: T201 - shown with -s
    assert {status for _, status, _ in answers} <= _ANSWERS
    assert any(status == 503 for _, status, _ in answers), "they were really held"
    wait_until(lambda: attacked.send("GET", "/readyz").status_code == 200, "the database")
    assert attacked.started.process.poll() is None, "nothing was restarted"
    assert [reference for reference in refused if attacked.count(reference)] == [], "nothing was begun"
    for reference, before in found.items():
        wait_until(partial(attacked.is_paid, reference), f"{reference} to be paid")
        assert attacked.count(reference) == 1, f"one truth, after {before.status_code}"
    _assert_visible(attacked, [status for _, status, _ in answers])


def _assert_visible(attacked: Attacked, statuses: list[int]) -> None:
    """What was not served shows in the log: each request with its status, and the reason."""
    lines = attacked.started.lines()
    seen = Counter(line["status"] for line in lines if line.get("message") == "request")
    reasons = sum(line.get("message") == "database not available" for line in lines)
    for status in (500, 503):
        assert seen[status] >= statuses.count(status)
    assert reasons >= statuses.count(503)
