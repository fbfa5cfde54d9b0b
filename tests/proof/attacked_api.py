"""An api process that is attacked: `payments api` on a real port, with the client's deadlines shortened."""

import contextlib
import json
import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.proof.wire import Answer, Wire
from tests.service.fixtures import ApiKey, Postgres
from tests.service.server.processes import Started, environment, is_healthy, start
from tests.waiting import wait_until

#: Seconds in which an undisturbed answer comes, on a machine that has much else to do.
PROMPT = 15.0
#: The command line after shorter deadlines for the client.
_SHORTENED = """
import sys
from payments.cli.main import main
from payments.server import https_server
from payments.server.connection import Deadlines
https_server.DEADLINES = Deadlines(
    handshake=4.0, keep_alive=6.0, head=3.0, body=5.0, response=3.0, closing=2.0, quiet=0.5
)
sys.exit(main())
"""
_PAYMENT = json.dumps({"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"}).encode()


@dataclass(frozen=True, kw_only=True)
class Api:
    """The process and what tells how it is."""

    started: Started
    key: ApiKey

    @property
    def port(self) -> int:
        return int(self.started.environment["PORT"])

    def payment(self, idempotency_key: str) -> bytes:
        """A request for a payment."""
        head = (
            "POST /v1/payments HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.key.token}\r\nIdempotency-Key: {idempotency_key}\r\n"
            f"Content-Length: {len(_PAYMENT)}\r\n\r\n"
        )
        return head.encode() + _PAYMENT

    def answer(self, data: bytes) -> Answer:
        with Wire(self.port, timeout=PROMPT) as wire:
            wire.send(data)
            answer = wire.answer()
        assert answer is not None
        return answer

    def assert_serves(self, idempotency_key: str) -> None:
        """A health check and a payment are answered before their client gives up."""
        assert self.started.process.poll() is None, self.started.log.read_text()
        assert self.answer(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        assert self.answer(self.payment(idempotency_key)).status == 201

    def memory(self) -> int:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.started.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.started.process.pid}/fd").iterdir()))

    def cpu_seconds(self) -> float:
        """Processor time that the process has used."""
        fields = Path(f"/proc/{self.started.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


@contextlib.contextmanager
def attacked(
    postgres: Postgres, key: ApiKey, folder: Path, *, descriptors: int | None = None, **settings: str
) -> Iterator[Api]:
    """Run an api process; `descriptors` is its hard limit of them."""
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors is None:
        script = _SHORTENED
    else:
        script = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors},) * 2)\n{_SHORTENED}"
    if own[0] < own[1]:  # this process is the client of a thousand connections
        resource.setrlimit(resource.RLIMIT_NOFILE, (own[1], own[1]))
    patient = "-c lock_timeout=60s -c statement_timeout=60s"
    variables = environment(postgres, folder, PGOPTIONS=patient, **settings)
    started = start("api", variables, folder, ("-c", script))
    try:
        wait_until(lambda: is_healthy(started), "the api's health check")
        yield Api(started=started, key=key)
    finally:
        assert started.stop() == 0, "the attack outlived the drain"


@contextlib.contextmanager
def held(count: int, hold: Callable[[], contextlib.AbstractContextManager[object]]) -> Iterator[int]:
    """Hold `count` connections from ten threads; those that the server does not take do not count."""
    with contextlib.ExitStack() as stack:
        lock, taken = threading.Lock(), 0

        def take(share: int) -> None:
            nonlocal taken
            for _ in range(share):
                with contextlib.suppress(OSError):
                    connection = hold()
                    with lock:
                        stack.enter_context(connection)
                        taken += 1

        threads = [threading.Thread(target=take, args=(count // 10,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield taken
