"""The emulated AWS account of a rehearsal, with the services and databases that run in it."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import boto3.session

from rehearsal.account import sessions
from rehearsal.account.authorization_client import AuthorizationClient, Decisions
from rehearsal.account.inventory import Inventory, describe, difference, take_inventory
from rehearsal.account.sessions import Credentials
from rehearsal.codepipeline.run_context import CancelledError
from rehearsal.ecr.container_engine import ContainerEngine
from rehearsal.ecs.task_roles import TaskRoles
from rehearsal.emulator.process import EmulatorProcess
from rehearsal.host.processes import record_process, sweep_leftovers
from rehearsal.runner.ports import Ports
from rehearsal.runner.toolchain import Toolchain, write_trust
from rehearsal.runner.workspace import Workspace
from rehearsal.runtime.controller import RuntimeSettings
from rehearsal.runtime.runtime import ContainerRuntime

_ENGINEER = "engineer"
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


class SetupError(Exception):
    """A step outside the pipeline failed; `log` is the log file with the details."""

    def __init__(self, cause: str, *, log: Path | None = None) -> None:
        super().__init__(cause)
        self.log = log


class LeftoversError(Exception):
    """The account is not empty after the destruction; the message lists what is left."""


@dataclass(frozen=True, kw_only=True)
class ServedStack:
    """A stack with a URL: an output that is the HTTPS URL of a load balancer; outputs have local addresses."""

    name: str
    url: str
    outputs: Mapping[str, str]


@dataclass(kw_only=True)
class EmulatedAccount:
    """The account. `open` it, use it, and `close` it in any case."""

    workspace: Workspace
    ports: Ports
    #: The container engine; None for processes.
    engine: ContainerEngine | None = None
    #: Called with a line about what only AWS can do.
    notify: Callable[[str], None] = lambda _line: None
    #: See `RuntimeSettings`.
    time_scale: float = 1.0
    #: See `RuntimeSettings`.
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    #: Set to cancel what is running.
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Create the parts; nothing starts yet."""
        images = self.workspace.run / "images"
        self.runtime = ContainerRuntime(
            RuntimeSettings(
                directory=self.workspace.run / "compute",
                images=images,
                port_for=self.ports.port_for,
                engine=self.engine,
                on_limitation=self.notify,
                time_scale=self.time_scale,
                extra_environment=self.extra_environment,
            )
        )
        self._emulator = EmulatorProcess(data=self.workspace.rehearsal / "emulator")
        self._toolchain = Toolchain(workspace=self.workspace, images=images, engine=self.engine)
        self._trust = self.workspace.rehearsal / "trust.pem"
        self._baseline: Inventory = {}
        self._engineer = sessions.root_credentials()

    @property
    def records(self) -> Path:
        """The folder of the recorded resources."""
        return self._emulator.data / "records"

    @property
    def session(self) -> boto3.session.Session:
        """A session of the account's root."""
        return sessions.open_session(self._emulator.port)

    @property
    def authorization(self) -> AuthorizationClient:
        """The client of the emulator's authorization API."""
        return AuthorizationClient(port=self._emulator.port)

    def open(self, log: Path) -> None:
        """Stop what a killed rehearsal left, and start the container runtime and the emulator."""
        swept = sweep_leftovers(self.workspace.run)
        if swept:
            log.write_text(f"stopped what an earlier rehearsal left running: {', '.join(swept)}\n", encoding="utf-8")
        self._toolchain.install()
        self.runtime.start()
        write_trust(self._trust, self.runtime.ca_file)
        self._emulator = EmulatorProcess(data=self._emulator.data, control_url=self.runtime.control_url)
        self._emulator.start()
        task_roles = TaskRoles(authorization=self.authorization, session=self.session, open_session=self.open_session)
        self.runtime.connect(self.session, task_roles=task_roles)
        self._create_engineer()

    def close(self) -> None:
        """Stop everything; may be called at any time and more than once."""
        self.cancelled.set()
        try:
            self.runtime.stop()
        finally:
            self._emulator.stop()
            sweep_leftovers(self.workspace.run)

    def open_session(self, credentials: Credentials) -> boto3.session.Session:
        """Open a session with credentials of the account."""
        return sessions.open_session(self._emulator.port, credentials=credentials)

    def take_baseline(self) -> None:
        """Take an inventory of what may be left after the destruction."""
        self._baseline = take_inventory(self.session, records=self.records)

    def verify_destroyed(self, log: Path) -> None:
        """Compare the account with the baseline.

        Raises:
            LeftoversError: Something is left.

        """
        left = difference(self._baseline, take_inventory(self.session, records=self.records))
        if left:
            text = describe(left)
            log.write_text(text + "\n", encoding="utf-8")
            raise LeftoversError(f"the account is not empty after the destruction:\n{text}")

    def create_execution_policies(self, documents: Iterable[Path]) -> list[str]:
        """Create managed policies from documents as the engineer.

        Returns:
            Their ARNs; without documents that of AdministratorAccess.

        """
        iam = self.open_session(self._engineer).client("iam")
        arns = []
        for document in documents:
            text = document.read_text(encoding="utf-8")
            arns.append(iam.create_policy(PolicyName=document.stem, PolicyDocument=text)["Policy"]["Arn"])
        return arns or [_ADMINISTRATOR]

    def import_certificate(self) -> str:
        """Import a certificate for the loopback names into ACM, and return its ARN."""
        certificate = self.runtime.authority.issue()
        response = self.session.client("acm").import_certificate(
            Certificate=certificate.cert_chain_pems[0].bytes(), PrivateKey=certificate.private_key_pem.bytes()
        )
        return response["CertificateArn"]

    def upload(self, bucket: str, key: str, body: str) -> str:
        """Put an object into a bucket, and return its URL."""
        self.session.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())
        return f"https://s3.amazonaws.com/{bucket}/{key}"

    def save_policies(self) -> None:
        """Save the policies of the account in the workspace; see `rehearsal.permissions`."""
        file = self.workspace.rehearsal / "policies.json"
        file.write_text(json.dumps(self.authorization.policies(), indent=1) + "\n", encoding="utf-8")

    def decisions(self) -> Decisions:
        """Return the decisions so far; none when the emulator does not respond."""
        try:
            return self.authorization.decisions()
        except OSError:
            return Decisions()

    def served_stacks(self) -> list[ServedStack]:
        """Return the stacks with a URL, sorted by name."""
        served = []
        stacks = self.session.client("cloudformation").describe_stacks()["Stacks"]
        for stack in sorted(stacks, key=lambda stack: stack["StackName"]):
            outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            localized = self.runtime.localize(outputs)
            for name, value in outputs.items():
                if value.startswith("https://") and localized[name] != value:
                    served.append(ServedStack(name=stack["StackName"], url=localized[name], outputs=localized))
                    break
        return served

    def build_environment(self, credentials: Credentials) -> dict[str, str]:
        """Return the environment of a build, or of a terminal, with credentials of the account."""
        tools = self._toolchain.environment(trust=self._trust)
        return sessions.subprocess_environment(
            self._emulator.port, home=self.workspace.home, credentials=credentials, base=tools
        )

    def run_command(
        self, command: Sequence[str], *, folder: Path, log: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Run a command with the tools of the checkout, as the engineer does in a terminal.

        Raises:
            SetupError: It failed.
            CancelledError: The rehearsal is being cancelled.

        """
        environment = self.build_environment(self._engineer) | dict(variables or {})
        checkout = self.workspace.checkout
        tools = [str(checkout / ".venv" / "bin"), str(checkout / "node_modules" / ".bin")]
        environment["PATH"] = os.pathsep.join([*tools, environment["PATH"]])
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        record_process(self.workspace.run, process.pid, command[0])
        while (status := _wait(process)) is None:
            if self.cancelled.is_set():
                process.terminate()
                process.wait()
                raise CancelledError("cancelled")
        if status != 0:
            raise SetupError(f"`{' '.join(command[:3])}` exited with status {status}", log=log)

    def _create_engineer(self) -> None:
        """Create the user who bootstraps, deploys and destroys: an administrator."""
        iam = self.session.client("iam")
        iam.create_user(UserName=_ENGINEER)
        iam.attach_user_policy(UserName=_ENGINEER, PolicyArn=_ADMINISTRATOR)
        key = iam.create_access_key(UserName=_ENGINEER)["AccessKey"]
        self._engineer = Credentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return None
