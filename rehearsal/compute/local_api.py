"""The payment API on its own: database, migrations, api and worker from a source folder, HTTPS in front.

The api makes its own certificate, which nobody could verify; so it stands behind the local load balancer, as in a
rehearsal and on AWS.
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

from rehearsal.compute.certificates import CertificateAuthority
from rehearsal.compute.databases import Databases, DatabaseServer, DatabaseSpec, free_port
from rehearsal.compute.errors import ComputeError
from rehearsal.compute.load_balancer import LoadBalancer
from rehearsal.compute.processes import ManagedProcess, ProcessTable, sweep_leftovers, tail
from rehearsal.compute.routing import Forward, ListenerSettings, LoadBalancerSettings, Rule
from rehearsal.compute.target_groups import TargetGroups, TargetGroupSettings

_GROUP = "api"
_DATABASE = "payments"
_KEY_ID = "serve"
#: As the deployed listener has it (`stages/service/ingress.py`).
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
    """`service` is the folder with the package `payments`; `port` 0 takes any free one; files go below `directory`."""

    service: Path
    python: Path
    directory: Path
    port: int


@dataclass(frozen=True, kw_only=True)
class RunningApi:
    """How to use it."""

    url: str
    ca_file: Path
    api_key: str = field(repr=False)
    merchant_id: str


class LocalApi:
    """`start` it, `wait` until something of it dies, `stop` it in any case."""

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
        self._balancer = LoadBalancer(
            self._balancer_settings(),
            groups=self._groups,
            authority=self._authority,
            port_for=lambda _name, _port: settings.port,
            logs=self._logs,
        )
        self._processes: dict[str, ManagedProcess] = {}

    async def start(self) -> RunningApi:
        """Start everything and return once the API is ready.

        Raises:
            ComputeError: the port is in use, or a part failed; the message holds the end of its log.
        """
        await self._groups.synchronize({_GROUP: TargetGroupSettings(arn=_GROUP, name="api", health_path="/healthz")})
        await self._balancer.update(self._balancer_settings())  # first: a port in use is known at once
        url = f"https://{self._balancer.endpoint.https}"
        owner, application, smoke_secret = _token(), _token(), _token()
        database = await self._databases.ensure(
            DatabaseSpec(identifier="serve", username="payments_owner", password=owner, database=_DATABASE)
        )
        as_owner = {"PGUSER": "payments_owner", "PGPASSWORD": owner}
        as_application = {"PGUSER": "payments_app_login", "PGPASSWORD": application}
        inputs = {
            "APP_DB_USER": as_application["PGUSER"],
            "APP_DB_PASSWORD": application,
            "SMOKE_KEY_ID": _KEY_ID,
            "SMOKE_KEY_SECRET": smoke_secret,
        }
        await self._start("migrate", self._environment(database, url) | as_owner | inputs)
        await self._complete("migrate")
        port = free_port()
        for name in ("api", "worker"):
            await self._start(name, self._environment(database, url) | as_application | {"PORT": str(port)})
        await self._await_ready(url, port)
        return RunningApi(
            url=url,
            ca_file=self._authority.certificate,
            api_key=f"sk_test_{_KEY_ID}_{smoke_secret}",
            merchant_id=await asyncio.to_thread(self._merchant, database, owner),
        )

    async def wait(self) -> None:
        """Wait until a process ends by itself, and raise ComputeError: none of them should."""
        waits = {asyncio.create_task(process.wait()): name for name, process in self._processes.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise self._failure(waits[done.pop()])

    async def stop(self) -> None:
        """Stop everything: no new requests first, then the processes, then the database, whose data is removed."""
        group = self._groups.get(_GROUP)
        if group is not None:
            await asyncio.gather(*(group.deregister(target) for target in group.targets))
        await asyncio.gather(*(process.stop(_STOP_SECONDS) for process in self._processes.values()))
        await self._balancer.close()
        await self._groups.close()
        await self._databases.delete_all()
        shutil.rmtree(self._directory / "tmp", ignore_errors=True)

    def _balancer_settings(self) -> LoadBalancerSettings:
        listener = ListenerSettings(
            port=443,
            protocol="HTTPS",
            rules=(Rule(action=Forward(groups={_GROUP: 1})),),
            response_headers=_RESPONSE_HEADERS,
            names_server=False,
        )
        return LoadBalancerSettings(arn="serve", name="serve", dns_name="localhost", listeners=(listener,))

    def _environment(self, database: DatabaseServer, url: str) -> dict[str, str]:
        """Return what the container's task definition declares, in this machine's terms."""
        return {
            "PATH": f"{self._settings.python.parent}:/usr/local/bin:/usr/bin:/bin",
            "ENVIRONMENT": "local",
            "PGHOST": database.host,
            "PGPORT": str(database.port),
            "PGDATABASE": _DATABASE,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(self._authority.certificate),
            "BIND_HOST": "127.0.0.1",
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
            raise self._failure(name)
        del self._processes[name]

    async def _await_ready(self, url: str, port: int) -> None:
        """Wait until the load balancer finds the api healthy and the API says that it is ready."""
        group = self._groups.get(_GROUP)
        if group is None:
            raise ComputeError("the api's target group is gone")
        target = group.register("127.0.0.1", port)
        trust = aiohttp.TCPConnector(ssl=self._authority.client_context())
        try:
            async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(connector=trust) as session:
                while not (target.healthy.is_set() and await _answers_ok(session, f"{url}/readyz")):
                    for name, process in self._processes.items():
                        if process.exit_code is not None:
                            raise self._failure(name)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            what = f"the API is not ready after {_START_SECONDS:.0f} s: {target.reason}"
            raise ComputeError(f"{what}; {self._log_tail('api')}") from None

    def _merchant(self, database: DatabaseServer, password: str) -> str:
        """Ask the database whose the key is."""
        with psycopg.connect(
            host=database.host,
            port=database.port,
            dbname=_DATABASE,
            user="payments_owner",
            password=password,
            sslmode="verify-full",
            sslrootcert=str(self._authority.certificate),
        ) as connection:
            row = connection.execute("select merchant_id from api_keys where id = %s", [f"key_{_KEY_ID}"]).fetchone()
        if row is None:
            raise ComputeError(f"the migration stored no API key {_KEY_ID}; {self._log_tail('migrate')}")
        return str(row[0])

    def _failure(self, name: str) -> ComputeError:
        code = self._processes[name].exit_code
        return ComputeError(f"`python -m payments {name}` ended with exit code {code}; {self._log_tail(name)}")

    def _log_tail(self, name: str) -> str:
        log = self._logs / f"{name}.log"
        return f"the end of {log}:\n{tail(log, _LOG_LINES)}"


def _token() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(43))


async def _answers_ok(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as answer:
        return answer.status == 200
