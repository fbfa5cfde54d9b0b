"""The emulated AWS account of one rehearsal, with the containers and databases that run in it."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import boto3.session

from rehearsal.codepipeline.actions import CancelledError
from rehearsal.compute.engine import Engine
from rehearsal.compute.processes import record_process, sweep_leftovers
from rehearsal.compute.runtime import ComputeRuntime, RuntimeSettings
from rehearsal.compute.task_roles import TaskRoles
from rehearsal.emulator import client as emulator_client
from rehearsal.emulator.client import Credentials
from rehearsal.emulator.inventory import Inventory, difference, in_words, take_inventory
from rehearsal.emulator.principals import Decisions, Principals
from rehearsal.emulator.process import EmulatorProcess
from rehearsal.ports import Ports
from rehearsal.toolchain import Toolchain, write_trust
from rehearsal.workspace import Workspace

_PERSON = "engineer"


class SetupError(Exception):
    """Something outside the pipeline failed; `log` tells more."""

    def __init__(self, cause: str, *, log: Path | None = None) -> None:
        super().__init__(cause)
        self.log = log


class LeftoversError(Exception):
    """The destroyed account still holds something; the message names it."""


@dataclass(kw_only=True)
class Account:
    """`open` it, use it, and `close` it in any case: nothing that it started outlives it.

    With an `engine` containers are its containers, else processes of this machine. `say` shows a line to the person who
    rehearses: what of the deployment only AWS can do. `time_scale` is the container runtime's.
    """

    workspace: Workspace
    ports: Ports
    engine: Engine | None = None
    say: Callable[[str], None] = lambda _line: None
    time_scale: float = 1.0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Make the parts; nothing starts yet."""
        images = self.workspace.run / "images"
        self.runtime = ComputeRuntime(
            RuntimeSettings(
                directory=self.workspace.run / "compute",
                images=images,
                port_for=self.ports.port_for,
                engine=self.engine,
                on_limit=self.say,
                time_scale=self.time_scale,
            )
        )
        self._emulator = EmulatorProcess(data=self.workspace.rehearsal / "emulator", control_url=None)
        self._toolchain = Toolchain(
            folder=self.workspace.toolchain, checkout=self.workspace.checkout, images=images, engine=self.engine
        )
        self._trust = self.workspace.rehearsal / "trust.pem"
        self._baseline: Inventory = {}
        self._person = emulator_client.root()

    @property
    def records(self) -> Path:
        """What the emulator only records, as resolved JSON: `<type>/<physical id>.json`."""
        return self._emulator.data / "records"

    @property
    def session(self) -> boto3.session.Session:
        """A session whose clients talk to the emulator."""
        return emulator_client.session(self._emulator.port)

    def open(self, log: Path) -> None:
        """End what a killed rehearsal left, then start the container runtime and the emulator."""
        swept = sweep_leftovers(self.workspace.run)
        if swept:
            log.write_text(f"ended what an earlier rehearsal left running: {', '.join(swept)}\n", encoding="utf-8")
        self._toolchain.install()
        self.runtime.start()
        write_trust(self._trust, self.runtime.ca_file)
        self._emulator = EmulatorProcess(data=self._emulator.data, control_url=self.runtime.control_url)
        self._emulator.start()
        task_roles = TaskRoles(principals=self.principals, account=self.session, session_for=self.session_of)
        self.runtime.connect(self.session, self._emulator.url, task_roles=task_roles)
        self.enroll()

    def close(self) -> None:
        """Stop everything; may be called at any time and twice."""
        self.cancelled.set()
        try:
            self.runtime.stop()
        finally:
            self._emulator.stop()
            sweep_leftovers(self.workspace.run)

    def remember(self) -> None:
        """Take what the account holds now as what may be left at the end."""
        self._baseline = take_inventory(self.session, records=self.records)

    def verify_destroyed(self, log: Path) -> None:
        """Compare the account with what `remember` saw.

        Raises:
            LeftoversError: naming what is left.
        """
        left = difference(self._baseline, take_inventory(self.session, records=self.records))
        if left:
            text = in_words(left)
            log.write_text(text + "\n", encoding="utf-8")
            msg = f"the destroyed account still holds\n{text}"
            raise LeftoversError(msg)

    def enroll(self) -> None:
        """Make the person who bootstraps, deploys and destroys: a user with AdministratorAccess."""
        iam = self.session.client("iam")
        iam.create_user(UserName=_PERSON)
        iam.attach_user_policy(UserName=_PERSON, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        key = iam.create_access_key(UserName=_PERSON)["AccessKey"]
        self._person = Credentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])

    def create_policies(self, documents: Iterable[Path]) -> list[str]:
        """Make managed policies of the documents, as the person; return their ARNs."""
        iam = self.session_of(self._person).client("iam")
        return [
            iam.create_policy(
                PolicyName=f"payment-bootstrap-{number}", PolicyDocument=document.read_text(encoding="utf-8")
            )["Policy"]["Arn"]
            for number, document in enumerate(documents, start=1)
        ]

    def session_of(self, credentials: Credentials) -> boto3.session.Session:
        """A session of somebody in the account."""
        return emulator_client.session(self._emulator.port, credentials=credentials)

    def keep_policies(self) -> None:
        """Write the policies of the account into the workspace: `rehearsal.permission_mutants` tries them."""
        file = self.workspace.rehearsal / "policies.json"
        file.write_text(json.dumps(self.principals.policies(), indent=1) + "\n", encoding="utf-8")

    def decisions(self) -> Decisions:
        """What the policies decided so far; nothing when the emulator does not answer."""
        try:
            return self.principals.decisions()
        except OSError:
            return Decisions()

    @property
    def principals(self) -> Principals:
        """Who acts in the account besides those who call its APIs."""
        return Principals(port=self._emulator.port)

    def import_certificate(self) -> str:
        """Import a certificate for this machine's addresses, as somebody without a domain would; answer its ARN."""
        leaf = self.runtime.authority.issue()
        answer = self.session.client("acm").import_certificate(
            Certificate=leaf.certificate.read_bytes(), PrivateKey=leaf.key.read_bytes()
        )
        return answer["CertificateArn"]

    def secret(self, reference: str) -> str:
        """The value of a secret, whoever may read it; see `read_secret`."""
        return read_secret(self.session, reference)

    def upload(self, bucket: str, key: str, body: str) -> str:
        """Put an object into a bucket; its URL."""
        self.session.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())
        return f"https://s3.amazonaws.com/{bucket}/{key}"

    def endpoints(self) -> dict[str, Mapping[str, str]]:
        """The outputs of every stack that has an `ApiUrl`, by stack, with local addresses."""
        stacks = self.session.client("cloudformation").describe_stacks()["Stacks"]
        outputs = {
            stack["StackName"]: {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
            for stack in stacks
        }
        return {name: self.runtime.localize(texts) for name, texts in sorted(outputs.items()) if "ApiUrl" in texts}

    def build_environment(self, credentials: Credentials) -> dict[str, str]:
        """The environment of a CodeBuild container in this account, or of a terminal, for whom the credentials say."""
        tools = self._toolchain.environment(home=self.workspace.home, trust=self._trust)
        return emulator_client.environment(
            self._emulator.port, home=self.workspace.home, credentials=credentials, base=tools
        )

    def run_module(self, name: str, *arguments: str, folder: Path, log: Path) -> None:
        """Run one of this project's Python modules against the account; see `run_tool`."""
        project = Path(__file__).parents[1]
        command = [sys.executable, "-m", name, *arguments]
        self.run_tool(command, folder=folder, log=log, variables={"PYTHONPATH": str(project)})

    def run_tool(
        self, command: Sequence[str], *, folder: Path, log: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Run a tool against the account, as a person at a terminal of the checkout would.

        Raises:
            SetupError: it failed.
            CancelledError: the rehearsal is being stopped.
        """
        environment = self.build_environment(self._person) | dict(variables or {})
        environment["PATH"] = f"{self.workspace.checkout / '.venv' / 'bin'}:{environment['PATH']}"
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
        record_process(self.workspace.run, process.pid, Path(command[0]).name)
        while (status := _wait(process)) is None:
            if self.cancelled.is_set():
                process.terminate()
                process.wait()
                msg = "stopped"
                raise CancelledError(msg)
        if status != 0:
            msg = f"`{' '.join([Path(command[0]).name, *command[1:3]])}` ended with exit status {status}"
            raise SetupError(msg, log=log)


def read_secret(session: boto3.session.Session, reference: str) -> str:
    """Read a secret: its name or ARN, with `:json-key` behind it as CodeBuild writes it."""
    name, key = split_secret_reference(reference)
    value = session.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    return str(json.loads(value)[key]) if key else value


def read_parameter(session: boto3.session.Session, name: str) -> str:
    """Read an SSM parameter."""
    return session.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]


def split_secret_reference(reference: str) -> tuple[str, str]:
    """Split `name:key` or `arn:aws:secretsmanager:region:account:secret:name:key...` into secret and JSON key."""
    parts = reference.split(":")
    length_of_id = 7 if reference.startswith("arn:") else 1
    return ":".join(parts[:length_of_id]), parts[length_of_id] if len(parts) > length_of_id else ""


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return None
