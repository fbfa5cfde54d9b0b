"""Access to the emulated account: boto3 sessions, and the environment of subprocesses.

The user's own AWS configuration is neither read nor written: profiles, cached credentials and the cache of the CDK CLI
are replaced by ones in the workspace.
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

#: The emulated account, an id that AWS never assigns.
ACCOUNT_ID = "000000000000"

#: The default region.
REGION = "us-east-1"

#: The secret access key of the account's root, whose access key id is the account id.
SECRET_ACCESS_KEY = "not-a-secret"  # noqa: S105 - only the emulator accepts it

_CONFIG = botocore.config.Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 3, "mode": "standard"},
    s3={"addressing_style": "path"},
)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Credentials of a user, of a role session, or of the account's root, which no policy restricts."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def variables(self) -> dict[str, str]:
        """Return the environment variables that the SDKs and the CLIs read."""
        variables = {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}
        return variables | ({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {})


def root_credentials(account: str = ACCOUNT_ID) -> Credentials:
    """Return the credentials of an account's root: the emulator itself, whose calls are not authorized."""
    return Credentials(access_key_id=account, secret_access_key=SECRET_ACCESS_KEY)


def endpoint_url(port: int) -> str:
    """Return the address of the emulator: an IP address, so that the SDKs use path-style S3 addressing."""
    return f"http://127.0.0.1:{port}"


#: Service descriptions, parsed once per process: parsing them is most of what a client costs.
_LOADER = botocore.loaders.create_loader()


class _EmulatorSession(botocore.session.Session):
    """A botocore session whose clients use one endpoint, and that ignores the user's configuration files.

    Creating a client costs more than a call to the emulator, so that equal clients are created once; clients are
    thread-safe.
    """

    def __init__(self, url: str, credentials: "Credentials") -> None:
        super().__init__()
        self._url = url
        self._clients: dict[tuple[object, ...], object] = {}
        self._lock = threading.Lock()
        self.register_component("data_loader", _LOADER)
        self.set_credentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        self.set_default_client_config(_CONFIG)

    @property
    def full_config(self) -> dict[str, object]:
        """A configuration without profiles, whatever AWS_PROFILE names."""
        return {"profiles": {}}

    def get_scoped_config(self) -> dict[str, object]:
        """Return the configuration of no profile."""
        return {}

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """Create a client of the emulator, unless the caller names another endpoint."""
        kwargs["endpoint_url"] = kwargs.get("endpoint_url") or self._url
        key = (service_name, args, *sorted((name, value) for name, value in kwargs.items() if value is not None))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = super().create_client(service_name, *args, **kwargs)
            return self._clients[key]


def open_session(
    port: int, *, account: str = ACCOUNT_ID, region: str = REGION, credentials: Credentials | None = None
) -> boto3.session.Session:
    """Open a session with the emulator on `port`; by default as the root of `account`."""
    signer = credentials or root_credentials(account)
    return boto3.session.Session(botocore_session=_EmulatorSession(endpoint_url(port), signer), region_name=region)


def subprocess_environment(
    port: int,
    *,
    home: Path,
    account: str = ACCOUNT_ID,
    region: str = REGION,
    credentials: Credentials | None = None,
    base: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the environment of a subprocess (`cdk`, a build command) that uses the emulator on `port`.

    It is `base` without any variable of AWS and the CDK, with credentials and endpoint of the emulator, so that no real
    account can be reached, and with `home` (created if missing), so that no cache of the user is touched. By default
    the credentials are those of the root of `account`.
    """
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in base.items() if not name.startswith(("AWS_", "CDK_"))}
    return kept | {
        "HOME": str(home),
        "CDK_HOME": str(home),
        "AWS_ENDPOINT_URL": endpoint_url(port),
        **(credentials or root_credentials(account)).variables(),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": str(home / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CDK_NOTICES": "false",
    }
