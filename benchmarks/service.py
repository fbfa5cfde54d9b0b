"""The service as its containers start it: `python -m payments migrate`, then `api` and `worker`, on plain loopback."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.postgres import OWNER, PAYMENTS
from rehearsal.host.processes import tail
from rehearsal.host.sockets import LOOPBACK, free_port

SOURCE = Path(__file__).parents[1] / "service"
LOGIN = "payments_service"
_PASSWORD = "loopback-only"  # noqa: S105 - the server of the bench trusts loopback
_KEY_ID = "bench"
_KEY_SECRET = "b" * 43
API_KEY = f"sk_test_{_KEY_ID}_{_KEY_SECRET}"
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0
_PAUSE = 0.1
#: The merchant of the API key, as `migrate` creates it.
MERCHANT = "mer_smoke"


@dataclass(kw_only=True)
class Process:
    """A running process of the service."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    port: int = 0

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            BenchError: With the end of its log.
        """
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} exited with code {self.process.returncode}: {tail(self.log)}")

    def stop(self) -> None:
        """Stop it, politely first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass(kw_only=True)
class Service:
    """Starts the service's processes; `stop` ends them in any case."""

    directory: Path
    database_port: int
    database: str = PAYMENTS
    processes: list[Process] = field(default_factory=list)

    def environment(self, name: str, *, port: int = 0) -> dict[str, str]:
        """Return what the task definition of the container declares, with local addresses."""
        temporary = (self.directory / "tmp" / name).resolve()
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "ENVIRONMENT": "local",
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.database_port),
            "PGDATABASE": self.database,
            "PGSSLMODE": "disable",
            "PGUSER": LOGIN,
            "PGPASSWORD": _PASSWORD,
            "BIND_HOST": LOOPBACK,
            "PORT": str(port),
            "PUBLIC_BASE_URL": f"https://localhost:{port}",
            "ALLOW_LIVE_KEYS": "false",
            "ALLOW_LOCAL_WEBHOOKS": "true",
            "PROCESSOR": "sandbox",
        }

    def migrate(self, **changes: str) -> float:
        """Run `payments migrate`, with changes to its environment, and return its seconds.

        Raises:
            BenchError: It failed.
        """
        environment = {
            **self.environment("migrate"),
            "PGUSER": OWNER,
            "APP_DB_USER": LOGIN,
            "APP_DB_PASSWORD": _PASSWORD,
            "SMOKE_KEY_ID": _KEY_ID,
            "SMOKE_KEY_SECRET": _KEY_SECRET,
            **changes,
        }
        begun = time.perf_counter()
        process = self.start("migrate", environment)
        if process.process.wait():
            process.check()
        self.processes.remove(process)
        return time.perf_counter() - begun

    def start_api(self, *, name: str = "api", **changes: str) -> Process:
        """Start the api, with changes to its environment, and wait until it is ready."""
        port = free_port()
        process = self.start(name, {**self.environment(name, port=port), **changes}, command="api")
        process.port = port
        wait_until_answered(process, "/readyz")
        return process

    def start_worker(self) -> Process:
        """Start the worker, and wait until it has, so that its start is not part of what is measured."""
        process = self.start("worker", self.environment("worker"))
        deadline = time.monotonic() + _START_SECONDS
        while b'"worker started"' not in process.log.read_bytes():
            process.check()
            if time.monotonic() > deadline:
                raise BenchError(f"the worker was not ready within {_START_SECONDS:.0f} seconds: {tail(process.log)}")
            time.sleep(_PAUSE)
        return process

    def start(
        self, name: str, environment: Mapping[str, str], *, command: str = "", module: str = "payments"
    ) -> Process:
        """Start a process of the service, or one beside it, in the folder of the service's source."""
        log = self.directory / f"{name}.log"
        with log.open("ab") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", module, command or name],
                env=dict(environment),
                cwd=SOURCE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = Process(name=name, process=running, log=log)
        self.processes.append(process)
        return process

    def discard(self, process: Process) -> None:
        """Stop one process."""
        process.stop()
        self.processes.remove(process)

    def stop(self) -> None:
        """Stop all processes."""
        for process in reversed(self.processes):
            process.stop()
        self.processes.clear()

    @contextmanager
    def paused(self, *, besides: Process | None = None) -> Iterator[None]:
        """Pause all processes but one, so that what they do when idle costs the denominators nothing."""
        paused = [process for process in self.processes if process is not besides]
        for process in paused:
            process.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in paused:
                process.process.send_signal(signal.SIGCONT)


def wait_until_answered(process: Process, path: str, *, pause: float = 0.02) -> None:
    """Wait until the process answers 200 on its HTTPS port.

    Raises:
        BenchError: It ended, or it took too long.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # self-signed, as in the container
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        process.check()
        try:
            url = f"https://{LOOPBACK}:{process.port}{path}"
            with urllib.request.urlopen(url, context=context, timeout=5) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(pause)
    raise BenchError(f"{process.name} was not ready within {_START_SECONDS:.0f} seconds: {tail(process.log)}")


def call(process: Process, method: str, path: str, body: object = None, *, key: str = "") -> dict[str, object]:
    """Call the API once, to prepare a row.

    Raises:
        BenchError: It refused.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(
        f"https://{LOOPBACK}:{process.port}{path}",
        method=method,
        headers=headers,
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as response:  # noqa: S310 - our own server
            content: dict[str, object] = json.loads(response.read())
            return content
    except urllib.error.HTTPError as error:
        raise BenchError(f"{method} {path} returned {error.code}: {error.read().decode()[:500]}") from error
