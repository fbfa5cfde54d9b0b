"""The real processes of the service, started as the containers start them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tests.service.fixtures import Postgres

SERVICE = Path(__file__).parents[3] / "service"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A process of the service and what it was given."""

    process: subprocess.Popen[str]
    command: str
    environment: Mapping[str, str]
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.environment['PORT']}"

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def lines(self) -> list[dict[str, Any]]:
        """Everything that was logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def environment(postgres: Postgres, folder: Path, **more: str) -> dict[str, str]:
    """What a task definition declares, and nothing else."""
    app = conninfo_to_dict(postgres.app)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(folder),
        "PGHOST": str(app["host"]),
        "PGDATABASE": str(app["dbname"]),
        "PGUSER": str(app["user"]),
        "PGPASSWORD": str(app["password"]),
        "ENVIRONMENT": "test",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        **more,
    }


def start(
    command: str, variables: Mapping[str, str], folder: Path, interpreter: Sequence[str] = ("-m", "payments")
) -> Started:
    """Start a command. ``interpreter`` is how Python is told to run the command line: tests may patch it first."""
    log = folder / f"{command}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *interpreter, command],
            cwd=SERVICE,
            env=dict(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Started(process=process, command=command, environment=variables, log=log)


def healthcheck(started: Started) -> int:
    command = [sys.executable, "-m", "payments.healthcheck", started.command]
    return subprocess.run(command, cwd=SERVICE, env=dict(started.environment), check=False).returncode


def is_healthy(started: Started) -> bool:
    """Whether the health check passes; not asked before the api listens, since it is a process of its own."""
    assert started.process.poll() is None, started.log.read_text()
    return (started.command != "api" or listens(started.environment["PORT"])) and healthcheck(started) == 0


def listens(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0
