"""The real `payments api` on its real port, over HTTPS, with the settings that a task definition declares."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.service.fixtures import Postgres
from tests.service.server.processes import listens
from tests.waiting import wait_until

SERVICE = Path(__file__).parents[2] / "service"


@contextmanager
def api_process(postgres: Postgres, folder: Path, **more: str) -> Iterator[str]:
    """Run the process, and yield its URL once it is ready."""
    app = conninfo_to_dict(postgres.app)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(folder),
        "PGHOST": str(app["host"]),
        "PGDATABASE": str(app["dbname"]),
        "PGUSER": str(app["user"]),
        "PGPASSWORD": str(app["password"]),
        "ENVIRONMENT": "test",
        "BIND_HOST": "127.0.0.1",
        "PORT": port,
        **more,
    }
    log = folder / "api.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments", "api"],
            cwd=SERVICE,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        command = [sys.executable, "-m", "payments.healthcheck", "api"]
        return listens(port) and subprocess.run(command, cwd=SERVICE, env=variables, check=False).returncode == 0

    try:
        wait_until(is_ready, "the api's health check")
        yield f"https://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
