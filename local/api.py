"""The payment API on its own: database, migrations, api and worker from a source folder, behind a local load balancer.

The certificate of the api is self-signed, as on AWS, so that clients need the load balancer's.
"""

import asyncio
import secrets
import shutil
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psycopg

from rehearsal.elbv2.load_balancer import LoadBalancer
from rehearsal.elbv2.routing import Forward, ListenerSettings, LoadBalancerSettings, Rule
from rehearsal.elbv2.target_groups import TargetGroups, TargetGroupSettings
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import RehearsalError
from rehearsal.host.processes import ManagedProcess, ProcessTable, sweep_leftovers, tail
from rehearsal.host.sockets import LOOPBACK, free_port
from rehearsal.rds.databases import Databases
from rehearsal.rds.server import DatabaseServer, DatabaseSpec

_GROUP = "api"
_DATABASE = "payments"
_OWNER = "payments_owner"
_APPLICATION = "payments_app_login"
_KEY_ID = "serve"
#: Those of the deployed listener (`stages/service/ingress.py`).
_RESPONSE_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_LINES = 20


@dataclass(frozen=True, kw_only=True)
class LocalApiSettings:
    """Settings of the API."""

    #: The folder with the package `payments`.
    service: Path
    #: The interpreter.
    python: Path
    #: The folder of all files.
    directory: Path
    #: The HTTPS port; 0 takes any free one.
    port: int


@dataclass(frozen=True, kw_only=True)
class RunningApi:
    """How to use the API; the key is a test-mode key with all scopes."""

    url: str
    ca_file: Path
    api_key: str = field(repr=False)
    merchant_id: str


class LocalApi:
    """`start` it, `wait` until one of its processes exits, `stop` it in any case."""

    def __init__(self, settings: LocalApiSettings) -> None:
        self._settings = settings
        self._directory = settings.directory
        sweep_leftovers(self._directory)
        for name in ("databases", "logs", "tmp"):
            shutil.rmtree(self._directory / name, ignore_errors=True)
            (self._directory / name).mkdir(parents=True)
        self._logs = self._directory / "logs"
        self._authority = CertificateAuthority(self._directory / "ca")
        self._table = ProcessTable(self._directory)
        self._databases = Databases(
            self._directory / "databases", logs=self._logs, table=self._table, authority=self._authority
        )
        self._groups = TargetGroups()
        listener = ListenerSettings(
            port=443,
            protocol="HTTPS",
            rules=(Rule(action=Forward(groups={_GROUP: 1})),),
            response_headers=_RESPONSE_HEADERS,
            server_header=False,
        )
        self._balancer = LoadBalancer(
            LoadBalancerSettings(arn="serve", name="serve", dns_name="localhost", listeners=(listener,)),
            groups=self._groups,
            authority=self._authority,
            port_for=lambda _name, _port: settings.port,
            logs=self._logs,
        )
        self._processes: dict[str, ManagedProcess] = {}

    async def start(self) -> RunningApi:
        """Start everything, and wait until the API is ready.

        Raises:
            RehearsalError: The port is in use, or a process failed; the message has the end of its log.

        """
        await self._groups.synchronize({_GROUP: TargetGroupSettings(arn=_GROUP, name="api", health_path="/healthz")})
        await self._balancer.update(self._balancer.settings)  # first, so that a port in use is reported early
        url = f"https://{self._balancer.endpoint.https}"
        owner_password, application_password, key_secret = _token(), _token(), _token()
        database = await self._databases.ensure(
            DatabaseSpec(identifier="serve", username=_OWNER, password=owner_password, database=_DATABASE)
        )
        environment = self._environment(database, url)
        inputs = {
            "PGUSER": _OWNER,
            "PGPASSWORD": owner_password,
            "APP_DB_USER": _APPLICATION,
            "APP_DB_PASSWORD": application_password,
            "SMOKE_KEY_ID": _KEY_ID,
            "SMOKE_KEY_SECRET": key_secret,
        }
        await self._start("migrate", environment | inputs)
        await self._complete("migrate")
        port = free_port()
        login = {"PGUSER": _APPLICATION, "PGPASSWORD": application_password, "PORT": str(port)}
        for name in ("api", "worker"):
            await self._start(name, environment | login)
        await self._wait_until_ready(url, port)
        return RunningApi(
            url=url,
            ca_file=self._authority.certificate,
            api_key=f"sk_test_{_KEY_ID}_{key_secret}",
            merchant_id=await asyncio.to_thread(self._read_merchant_id, database, owner_password),
        )

    async def wait(self) -> None:
        """Wait until a process exits.

        Raises:
            RehearsalError: It exited, which none of them should.

        """
        waits = {asyncio.create_task(process.wait()): name for name, process in self._processes.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise self._exit_error(waits[done.pop()])

    async def stop(self) -> None:
        """Stop everything: first new requests, then the processes, then the database, whose data is removed."""
        group = self._groups.get(_GROUP)
        if group is not None:
            await asyncio.gather(*(group.deregister(target) for target in group.targets))
        await asyncio.gather(*(process.stop(_STOP_SECONDS) for process in self._processes.values()))
        await self._balancer.close()
        await self._groups.close()
        await self._databases.delete_all()
        shutil.rmtree(self._directory / "tmp", ignore_errors=True)

    def _environment(self, database: DatabaseServer, url: str) -> dict[str, str]:
        """Return what the task definition of the container declares, with local addresses."""
        return {
            "PATH": f"{self._settings.python.parent}:/usr/local/bin:/usr/bin:/bin",
            "ENVIRONMENT": "local",
            "PGHOST": database.host,
            "PGPORT": str(database.port),
            "PGDATABASE": _DATABASE,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(self._authority.certificate),
            "BIND_HOST": LOOPBACK,
            "PUBLIC_BASE_URL": url,
            "ALLOW_LIVE_KEYS": "false",
            "ALLOW_LOCAL_WEBHOOKS": "true",
            "PROCESSOR": "sandbox",
        }

    async def _start(self, name: str, environment: Mapping[str, str]) -> None:
        temporary = self._directory / "tmp" / name
        temporary.mkdir()
        self._processes[name] = await self._table.start(
            [str(self._settings.python), "-m", "payments", name],
            name=f"payments {name}",
            environment={**environment, "HOME": str(temporary), "TMPDIR": str(temporary)},
            cwd=self._settings.service,
            log=self._logs / f"{name}.log",
        )

    async def _complete(self, name: str) -> None:
        if await self._processes[name].wait() != 0:
            raise self._exit_error(name)
        del self._processes[name]

    async def _wait_until_ready(self, url: str, port: int) -> None:
        """Wait until the api is a healthy target and the API is ready."""
        group = self._groups.get(_GROUP)
        if group is None:
            raise RehearsalError("the target group of the api does not exist")
        target = group.register(LOOPBACK, port)
        connector = aiohttp.TCPConnector(ssl=self._authority.client_context())
        try:
            async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(connector=connector) as session:
                while not (target.healthy.is_set() and await _is_ok(session, f"{url}/readyz")):
                    for name, process in self._processes.items():
                        if process.exit_code is not None:
                            raise self._exit_error(name)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            what = f"the API is not ready after {_START_SECONDS:.0f} s: {target.reason}"
            raise RehearsalError(f"{what}; {self._log_tail('api')}") from None

    def _read_merchant_id(self, database: DatabaseServer, password: str) -> str:
        """Return the merchant of the API key, from the database."""
        with psycopg.connect(
            host=database.host,
            port=database.port,
            dbname=_DATABASE,
            user=_OWNER,
            password=password,
            sslmode="verify-full",
            sslrootcert=str(self._authority.certificate),
        ) as connection:
            row = connection.execute("select merchant_id from api_keys where id = %s", [f"key_{_KEY_ID}"]).fetchone()
        if row is None:
            raise RehearsalError(f"the migrations created no API key {_KEY_ID}; {self._log_tail('migrate')}")
        return str(row[0])

    def _exit_error(self, name: str) -> RehearsalError:
        code = self._processes[name].exit_code
        return RehearsalError(f"`python -m payments {name}` exited with code {code}; {self._log_tail(name)}")

    def _log_tail(self, name: str) -> str:
        log = self._logs / f"{name}.log"
        return f"end of {log}:\n{tail(log, _LOG_LINES)}"


def _token() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(43))


async def _is_ok(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as response:
        return response.status == 200
