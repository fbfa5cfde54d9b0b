"""Shutting the worker down: what is in progress is completed and recorded, in time."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from payments.domain.outcomes import Outcome, Result
from payments.processors.base import Call
from payments.repositories.database import Database
from payments.worker import main as worker
from tests.service.api import Client, context_with
from tests.service.fixtures import ApiKey, Postgres
from tests.service.receivers import Receiver, receiver
from tests.service.scripted import Scripted

WAIT = 60.0


class Slow(Scripted):
    """Responds to a look-up once it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.called_now, self.respond_now = threading.Event(), threading.Event()

    def look_up(self, call: Call) -> Result:
        self.called_now.set()
        assert self.respond_now.wait(WAIT)
        return Result(outcome=Outcome.APPROVED, reference="ref_1")


@pytest.fixture
def processor() -> Slow:
    return Slow()


@pytest.fixture
def client(database: Database, key: ApiKey, processor: Slow) -> Client:
    return Client(replace(context_with(database, processor), allow_local_webhooks=True), key)


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


Stop = Callable[[], threading.Thread]


@pytest.fixture
def stopped(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stop]:
    """Start the worker; a call stops it and returns its thread."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(client.context, stop))
    thread.start()

    def end() -> threading.Thread:
        stop.set()
        return thread

    yield end
    stop.set()
    thread.join(WAIT)


def test_a_look_up_in_progress_is_completed(client: Client, processor: Slow, postgres: Postgres, stopped: Stop) -> None:
    try:
        payment_id = client.json(client.create("pm"))["id"]
        assert processor.called_now.wait(WAIT)
        thread = stopped()
        thread.join(0.3)
        assert thread.is_alive(), "the processor has not answered yet"
    finally:
        processor.respond_now.set()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert client.payment(payment_id)["status"] == "succeeded"


def test_a_delivery_in_progress_is_completed(
    client: Client, processor: Slow, postgres: Postgres, shop: Receiver, stopped: Stop
) -> None:
    received, respond_now = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        received.set()
        assert respond_now.wait(WAIT)

    shop.misbehave = hang
    processor.results = {"authorize": Result(outcome=Outcome.APPROVED, reference="ref_2")}
    try:
        with psycopg.connect(postgres.superuser) as connection:
            connection.execute(
                "INSERT INTO webhook_endpoints (merchant_id, livemode, id, url, event_types, api_version, secret,"
                " created_at) VALUES (%s, false, 'we_1', %s, '{*}', 'x', 'whsec_eHh4', now())",
                [client.key.merchant_id, shop.url],
            )
        client.json(client.create("pm"))
        assert received.wait(WAIT)
        thread = stopped()
        thread.join(0.3)
        assert thread.is_alive(), "the receiver has not answered yet"
    finally:
        respond_now.set()
        processor.respond_now.set()
    thread.join(WAIT)
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM webhook_deliveries").fetchone() == (1,)


def test_loops_that_do_not_finish_in_time_are_logged(
    client: Client, processor: Slow, stopped: Stop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "_DRAIN", 0.2)
    try:
        client.create("pm")
        assert processor.called_now.wait(WAIT)
        stopped().join(WAIT)
        (record,) = [record for record in caplog.records if record.message == "loops did not finish in time"]
        assert record.loops == ["recovery_scripted"]  # type: ignore[attr-defined]  # from `extra`
    finally:
        processor.respond_now.set()


_INTERRUPTED = """
import os, signal, sys
from payments.cli.main import stop_on_signal
stop = stop_on_signal()
with stop._cond:  # as the main thread does at the beginning and the end of each wait
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
sys.exit(0 if stop.wait(60) else 1)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_the_middle_of_a_wait_is_no_deadlock(name: str) -> None:
    service = Path(__file__).parents[3] / "service"
    subprocess.run([sys.executable, "-c", _INTERRUPTED, name], cwd=service, check=True, timeout=60)
