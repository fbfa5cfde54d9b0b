"""`make serve` serves the API, and leaves nothing running however it ends."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.listeners import listening_addresses
from tests.waiting import wait_until

pytestmark = pytest.mark.rehearsal

CHECKOUT = Path(__file__).parents[2]
FACTS = {"url", "ca_file", "api_key", "merchant_id", "pid"}


class Server:
    """`make serve` with its files in a folder of its own."""

    def __init__(self, folder: Path, *, port: int = 0, source: Path | None = None) -> None:
        self.folder = folder
        self.output = folder / "output"
        self._environment = {**os.environ, "PORT": str(port), "SERVE_DIRECTORY": str(folder)}
        if source is not None:
            self._environment["SERVE_SOURCE"] = str(source)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.serve"],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def facts_file(self) -> Path:
        return self.folder / "serve.json"

    def wait_until_ready(self) -> dict[str, Any]:
        self.wait_for(self.facts_file)
        facts: dict[str, Any] = json.loads(self.facts_file.read_text())
        return facts

    def wait_for(self, file: Path) -> None:
        """Wait until a file has content."""

        def has_content() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return file.exists() and file.stat().st_size > 0

        wait_until(has_content, f"{file.name} of `make serve`", timeout=120)

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """Return the recorded processes that still run."""
        pids = [int(path.stem) for path in (self.folder / "serve" / "processes").glob("*.json")]
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**options: object) -> Server:
        servers.append(Server(tmp_path, **options))  # type: ignore[arg-type]  # options of two types
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()
        for process in server.processes():
            process.kill()


def get(url: str, ca_file: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca_file), timeout=10) as response:
        return response.status, response.read()


def run_printed_command(output: str) -> dict[str, Any]:
    _, _, curl = output.partition("Take a payment:")
    command = curl.partition("Ctrl-C")[0].strip()
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    payment: dict[str, Any] = json.loads(done.stdout)
    return payment


def test_it_serves_until_ctrl_c_and_leaves_nothing_running(serve: Callable[..., Server]) -> None:
    server = serve()
    facts = server.wait_until_ready()
    assert set(facts) == FACTS
    assert facts["pid"] == server.process.pid
    assert get(f"{facts['url']}/readyz", facts["ca_file"])[0] == 200
    payment = run_printed_command(server.output.read_text())
    assert (payment["status"], payment["amount"]) == ("succeeded", 1250)

    second = serve()
    assert second.process.wait(60) == 1
    assert f"already running in this checkout (process {server.process.pid})" in second.output.read_text()

    running = server.processes()
    assert len(running) == 3, "database, api and worker"
    assert set(listening_addresses([psutil.Process(server.process.pid), *running])) == {"127.0.0.1"}
    assert server.stop(signal.SIGINT) == 0
    assert not [process for process in running if process.is_running()]
    assert not server.facts_file.exists()
    assert not list((server.folder / "serve" / "databases").iterdir())


def test_a_port_in_use_is_reported(serve: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = serve(port=port)
        assert server.process.wait(60) == 1
    assert f"port {port}" in server.output.read_text()
    assert "make serve PORT=0" in server.output.read_text()
    assert not server.facts_file.exists()


def test_the_next_server_stops_what_a_killed_one_left(serve: Callable[..., Server]) -> None:
    first = serve()
    first.wait_until_ready()
    left = first.processes()
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    assert all(process.is_running() for process in left)
    first.facts_file.unlink()

    second = serve()
    second.wait_until_ready()
    assert not [process for process in left if process.is_running()]

    # When a process dies, everything stops, with the cause.
    (worker,) = [process for process in second.processes() if process.cmdline()[-1] == "worker"]
    worker.kill()
    assert second.process.wait(60) == 1
    assert "`python -m payments worker` exited with code 137" in second.output.read_text()
    assert second.processes() == []


def test_the_log_of_a_failing_migration_is_printed(serve: Callable[..., Server], tmp_path: Path) -> None:
    package = tmp_path / "source" / "payments"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text("raise SystemExit('column amount already exists')\n")
    server = serve(source=package.parent)
    assert server.process.wait(60) == 1
    assert "`python -m payments migrate` exited with code 1" in server.output.read_text()
    assert "column amount already exists" in server.output.read_text()
    assert server.processes() == []


def test_it_can_be_stopped_while_it_starts(serve: Callable[..., Server], tmp_path: Path) -> None:
    package = tmp_path / "source" / "payments"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text("import signal; print('migrating', flush=True); signal.pause()\n")
    server = serve(source=package.parent)
    server.wait_for(tmp_path / "serve" / "logs" / "migrate.log")
    assert server.stop(signal.SIGTERM) == 0
    assert server.processes() == []


@pytest.mark.parametrize("port", ["http", "65536", "-1"])
def test_an_invalid_port_is_refused(port: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PORT": port, "SERVE_DIRECTORY": str(tmp_path)}
    command = [sys.executable, "-m", "local.serve"]
    result = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"PORT={port}: " in result.stderr


def test_it_stops_cleanly_after_its_output_was_closed(tmp_path: Path) -> None:
    package = tmp_path / "source" / "payments"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text("import signal; signal.pause()\n")
    environment = {**os.environ, "PORT": "0", "SERVE_DIRECTORY": str(tmp_path), "SERVE_SOURCE": str(package.parent)}
    command = [sys.executable, "-m", "local.serve"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Starting")
        process.stdout.close()
        wait_until((tmp_path / "serve" / "logs" / "migrate.log").exists, "the start of the migration")
        process.terminate()
        process.wait(60)
    assert not list((tmp_path / "serve" / "processes").iterdir())
