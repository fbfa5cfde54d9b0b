"""How this machine reaches the emulated account: boto3 sessions and the environment of subprocesses.

Nothing here reads or writes a person's own AWS configuration: profiles, cached credentials and the CDK CLI's
cache are all replaced by places inside the rehearsal's folder.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3.session
import botocore.config
import botocore.loaders
import botocore.session

ACCOUNT_ID = "000000000000"
"""The emulated account. AWS never gives this id to anybody."""

REGION = "us-east-1"
"""The region used where none is given."""

SECRET_ACCESS_KEY = "not-a-secret"  # noqa: S105  of the emulated account's root, whose access key is the account's id

_CONFIG = botocore.config.Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 3, "mode": "standard"},
    s3={"addressing_style": "path"},
)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What signs calls: of a user, of a role's session, or of the account's root, whom no policy restricts."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def variables(self) -> dict[str, str]:
        """Return the environment variables that SDKs and the CLI read."""
        variables = {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}
        return variables | ({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {})


def root(account: str = ACCOUNT_ID) -> Credentials:
    """Return the credentials of an account's root: the emulator itself, for what no principal on AWS does."""
    return Credentials(access_key_id=account, secret_access_key=SECRET_ACCESS_KEY)


def endpoint_url(port: int) -> str:
    """Return the emulator's address; an IP and not `localhost`, so that SDKs put bucket names into the path."""
    return f"http://127.0.0.1:{port}"


_LOADER = botocore.loaders.create_loader()
"""Service descriptions, parsed once in a process: parsing them is most of what a client costs."""


class _EmulatorSession(botocore.session.Session):
    """A botocore session whose clients all talk to one endpoint, and that ignores the person's configuration files.

    Making a client costs more than a call to the emulator, hence equal clients are made once; they are safe to share
    among threads.
    """

    def __init__(self, url: str, credentials: "Credentials") -> None:
        super().__init__()
        self._url = url
        self._clients: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()
        self.register_component("data_loader", _LOADER)
        self.set_credentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        self.set_default_client_config(_CONFIG)

    @property
    def full_config(self) -> dict[str, Any]:
        """No profiles: neither the ones on this machine nor one named by AWS_PROFILE."""
        return {"profiles": {}}

    def get_scoped_config(self) -> dict[str, Any]:
        """No profile is in use."""
        return {}

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """Make a client of the emulator, unless the caller names another endpoint."""
        kwargs["endpoint_url"] = kwargs.get("endpoint_url") or self._url
        key = (service_name, args, *sorted((name, value) for name, value in kwargs.items() if value is not None))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = super().create_client(service_name, *args, **kwargs)
            return self._clients[key]


def session(
    port: int, *, account: str = ACCOUNT_ID, region: str = REGION, credentials: Credentials | None = None
) -> boto3.session.Session:
    """Make a session; its clients (`session(port).client("ecs")`) are typed and talk to the emulator on `port`.

    Without `credentials` it is the root of `account`.
    """
    signer = credentials or root(account)
    return boto3.session.Session(botocore_session=_EmulatorSession(endpoint_url(port), signer), region_name=region)


def environment(
    port: int,
    *,
    home: Path,
    account: str = ACCOUNT_ID,
    region: str = REGION,
    credentials: Credentials | None = None,
    base: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Make the complete environment for a subprocess (`cdk`, a build command) that shall use the emulator on `port`.

    Without `credentials` it is the root of `account`.

    `base` without anything about AWS or CDK, plus credentials and endpoint of the emulator and `home` as the
    home directory, so that no real account can be reached and no cache outside the rehearsal's folder is touched.
    `home` is made when it is missing.
    """
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in base.items() if not name.startswith(("AWS_", "CDK_"))}
    return kept | {
        "HOME": str(home),
        "CDK_HOME": str(home),
        "AWS_ENDPOINT_URL": endpoint_url(port),
        **(credentials or root(account)).variables(),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": str(home / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CDK_NOTICES": "false",
    }
