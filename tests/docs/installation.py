"""An environment as operators meet it: PostgreSQL, `migrate`, api and worker with their secrets, Stripe's stand-in.

Behind two addresses that stay, of the load balancer and of the database. Time passes faster in the worker's loops.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.proof.link import Link, Network
from tests.proof.world import ROOT, StormPostgres, free_port
from tests.service.fixtures import RUN, make_database
from tests.service.postgres_server import PostgresServer
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_rules import Refused
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, stripe_standin
from tests.waiting import wait_until

SERVICE = ROOT / "service"
Secret = dict[str, str]


@dataclass
class Processor(StripeDashboard):
    """Stripe's stand-in, with one fault for every call that moves or finds money while it lasts."""

    fault: str = ""

    def next_fault(self, name: str) -> str | Refused:
        return super().next_fault(name) or (self.fault if name in ("confirm", "retrieve") else "")

    def report(self, day: str) -> list[str]:
        """The settlement report: all that was charged and refunded."""
        charged = (intent for intent in self.intents.values() if intent["amount_received"])
        rows = [f"charge,{each['id']},{each['currency'].upper()},{each['amount_received']},0" for each in charged]
        rows += [f"refund,{each['id']},{each['currency'].upper()},{each['amount']},0" for each in self.refunds.values()]
        return ["kind,reference,currency,amount,fee,settled_on", *(f"{row},{day}" for row in rows)]


@dataclass(kw_only=True)
class Installation:
    """The environment `dev`."""

    folder: Path
    server: StormPostgres
    processor: Processor
    #: What resolves to the database, and to the load balancer.
    database: Link
    balancer: Link
    secrets: dict[str, Secret] = field(default_factory=dict)
    tasks: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    #: The outputs of finished commands, with their exit codes, by task.
    commands: dict[str, tuple[str, int]] = field(default_factory=dict)
    admin: Mapping[str, str] = field(default_factory=dict)

    # ---- the secrets, the tasks
    def deploy(self, code: Path = SERVICE, *, services: tuple[str, ...] = ("api", "worker")) -> int:
        """Start new tasks, and end the old ones once these serve; returns the exit code of the one that failed."""
        if self._run_to_end("migrate", code):
            return self._run_to_end("api", code)
        for service in services:
            old, port = self.tasks.get(service), free_port()
            self.tasks[service] = self._start(service, code, PORT=str(port), TMPDIR=self._tmp(service))
            if service == "api":
                wait_until(lambda port=port: self.is_ready(port), "the api")  # type: ignore[misc]  # a default
                self.balancer.aim(port)
            if old is not None:
                old.terminate()
                old.wait(40)
        return 0

    def run(self, task: str, arguments: list[str]) -> None:
        """Run an administrator's command as a task of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.proof.launch", *arguments],
            cwd=ROOT,
            env={**self.environment(SERVICE), **self.admin, "TMPDIR": self._tmp("admin")},
            capture_output=True,
            text=True,
            check=False,
        )
        self.commands[task] = (done.stdout + done.stderr, done.returncode)

    def environment(self, code: Path) -> dict[str, str]:
        """What the task definitions declare."""
        login, keys = self.secrets["db-app-credentials-dev"], self.secrets["processor-keys-dev"]
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{code}:{ROOT}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.database.port),
            "PGSSLMODE": "disable",
            "PGDATABASE": "payments",
            "PGUSER": login["username"],
            "PGPASSWORD": login["password"],
            "ENVIRONMENT": "dev",
            "BIND_HOST": "127.0.0.1",
            "PROCESSOR": "stripe",
            "STRIPE_API_KEY": keys["api_key"],
            "STRIPE_WEBHOOK_SECRET": keys["webhook_secret"],
            "ALLOW_LOCAL_WEBHOOKS": "true",
            "TIME_SCALE": "20",
            "STORM_STRIPE": self.processor.url,
            "STORM_LEASE": "5",
        }

    def _owner(self) -> dict[str, str]:
        owner, login, smoke = (
            self.secrets[f"{name}-dev"] for name in ("db-credentials", "db-app-credentials", "smoke-api-key")
        )
        return {
            "PGUSER": owner["username"],
            "PGPASSWORD": owner["password"],
            "APP_DB_USER": login["username"],
            "APP_DB_PASSWORD": login["password"],
            "SMOKE_KEY_ID": smoke["id"],
            "SMOKE_KEY_SECRET": smoke["secret"],
        }

    def _run_to_end(self, command: str, code: Path) -> int:
        more = self._owner() if command == "migrate" else {"PORT": str(free_port()), "TMPDIR": self._tmp(command)}
        return self._start(command, code, **more).wait(120)

    def _start(self, command: str, code: Path, **more: str) -> subprocess.Popen[bytes]:
        with self.log(command).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.proof.launch", command],
                cwd=ROOT,
                env={**self.environment(code), **more},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _tmp(self, name: str) -> str:
        folder = self.folder / f"tmp-{name}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        return str(folder)

    def log(self, group: str) -> Path:
        """All that was ever logged by `api`, `worker` or `migrate`."""
        return self.folder / f"{group}.log"

    def lines(self, *groups: str) -> Iterator[dict[str, Any]]:
        """The lines of these groups that are JSON, all of them unless a process is writing one."""
        for group in groups:
            for line in self.log(group).read_text().splitlines() if self.log(group).exists() else ():
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def metric(self, name: str) -> float:
        """The last value of a metric."""
        values = [document[name] for document in self.lines("api", "worker") if name in document]
        last = values[-1] if values else 0
        return float(last[-1] if isinstance(last, list) else last)

    def is_ready(self, port: int) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"https://127.0.0.1:{port}/readyz", verify=False, timeout=5).status_code == 200
        return False

    def end(self, service: str) -> None:
        """Have no task of a service, as with a desired count of 0."""
        task = self.tasks.pop(service)
        task.terminate()
        task.wait(40)

    # ---- the merchants
    @cached_property
    def session(self) -> requests.Session:
        session = requests.Session()
        session.verify, session.trust_env = False, False
        return session

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.balancer.port}"

    @property
    def key(self) -> str:
        smoke = self.secrets["smoke-api-key-dev"]
        return f"sk_test_{smoke['id']}_{smoke['secret']}"

    def send(self, method: str, path: str, body: object = None, *, key: str = "") -> requests.Response:
        """Send a request of a merchant, on a connection of its own, as most do."""
        headers = {"Authorization": f"Bearer {key or self.key}", "Connection": "close"}
        if method == "POST":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        return self.session.request(method, self.url + path, json=body, headers=headers, timeout=60)

    def pay(self, *, key: str = "", **fields: Any) -> requests.Response:
        body = {"amount": 1250, "currency": "EUR", "payment_method": "pm_card_visa", **fields}
        return self.send("POST", "/v1/payments", body, key=key)

    # ---- the database
    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute as a superuser: time that passes, and what is seen from outside."""
        with psycopg.connect(make_conninfo(self.server.conninfo, dbname="payments"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def copy_database(self) -> "Copy":
        """Start to copy the database as it is now."""
        return Copy(self.server)

    def fail_over(self) -> None:
        """End the writer, which has committed nothing that its reader lacks, and promote that, under the same name.

        An Aurora reader shares the writer's storage; here it is a synchronous replica.
        """
        lost, replica = self.server, self.copy_database()
        (replica.data / "standby.signal").touch()
        replica.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        wait_until(lambda: self.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"), "the replica")
        lost.halt()
        refused = self.refusals()
        wait_until(lambda: self.refusals() > refused, "a payment that meets no database")
        self.use_server(replica)
        self.sql("SELECT pg_promote()")
        lost.stop()

    def use_server(self, other: "Copy") -> None:
        """Let another server have the database's name."""
        self.server = other
        self.database.aim(other.socket_file)

    def refusals(self) -> int:
        """How many requests got 503."""
        return sum(line.get("message") == "request" and line["status"] == 503 for line in self.lines("api"))

    def set_owner_password(self, password: str) -> None:
        """Do what RDS does with the password of the cluster's owner."""
        with psycopg.connect(self.server.conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE payments_owner PASSWORD {}").format(sql.Literal(password)))

    def age(self, minutes: int) -> None:
        """Let time pass for what is open."""
        self.sql(
            f"UPDATE attempts SET created_at = created_at - interval '{minutes} minutes', deadline_at = now()"
            " WHERE status = 'open'"
        )

    def stop(self) -> None:
        for task in self.tasks.values():
            task.kill()
            task.wait(20)


class Copy(StormPostgres):
    """A server made from a base backup of another that is running; not started."""

    def __init__(self, source: PostgresServer) -> None:
        super().__init__(RUN, {"fsync": "off"})
        shutil.rmtree(self.data)
        host = str(conninfo_to_dict(source.conninfo)["host"])
        self._run("pg_basebackup", "-D", str(self.data), "-h", host, "-U", "postgres", "-c", "fast")
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = 'host={host} user=postgres'\nsynchronous_standby_names = ''\n")


def random_secrets() -> dict[str, Secret]:
    """As the templates generate them."""
    return {
        "db-credentials-dev": {"username": "payments_owner", "password": "owner-password"},
        "db-app-credentials-dev": {"username": "payments_service", "password": "app-password"},
        "smoke-api-key-dev": {"id": "smokedev", "secret": "a" * 43},
        "processor-keys-dev": {"api_key": API_KEY, "webhook_secret": WEBHOOK_SECRET},
        "live-api-key-dev": {},
    }


@contextlib.contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """Deploy the environment."""
    with contextlib.ExitStack() as stack:
        server = StormPostgres(RUN, {"fsync": "off"})
        stack.callback(server.stop)
        rules = "local replication all trust\nlocal all payments_owner scram-sha-256\n"
        hba = server.data / "pg_hba.conf"
        hba.write_text(rules + hba.read_text())
        server.start()
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE payments_owner LOGIN CREATEROLE PASSWORD 'owner-password'")
        make_database(server.conninfo, "payments")
        processor = stack.enter_context(stripe_standin(Processor()))
        assert isinstance(processor, Processor)
        network = Network()
        stack.callback(network.close)
        made = Installation(
            folder=folder,
            server=server,
            processor=processor,
            database=network.link(server.socket_file),
            balancer=network.link(1),
            secrets=random_secrets(),
        )
        stack.callback(lambda: made.server.stop())  # another one, perhaps
        stack.callback(processor.released.set)
        stack.callback(made.stop)
        stack.callback(made.session.close)
        assert made.deploy() == 0, made.log("migrate").read_text()
        yield made
