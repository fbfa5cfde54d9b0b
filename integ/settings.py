"""Settings of the smoke checks, read from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


class SettingsError(Exception):
    """A variable is missing or invalid; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment to check, and the key to check it with."""

    #: `BASE_URL`: the API's HTTPS URL, without a trailing slash.
    base_url: str
    #: `SMOKE_KEY_ID`: id of the smoke checks' API key.
    key_id: str
    #: `SMOKE_KEY_SECRET`: secret of the smoke checks' API key.
    key_secret: str
    #: `CA_BUNDLE`, else `REQUESTS_CA_BUNDLE`: PEM file of trusted roots; by default those of `requests`.
    ca_bundle: str | None = None
    #: `TLS_SERVER_NAME`: name that the certificate must have, if it is not the host of `BASE_URL`.
    server_name: str | None = None
    #: `HTTP_URL`: URL of the plain HTTP listener; by default port 80 of the host, unless `BASE_URL` has a port.
    http_url: str | None = None
    #: `FIREWALL`: `absent` for an API without a web application firewall, such as `make serve`; else `present`.
    firewall: bool = True
    #: `SMOKE_PAYMENT_METHOD`: a test-mode token that is always approved.
    payment_method: str = "tok_visa"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            SettingsError: a variable is missing or invalid.
        """
        missing = [name for name in ("BASE_URL", "SMOKE_KEY_ID", "SMOKE_KEY_SECRET") if not environ.get(name)]
        if missing:
            raise SettingsError(f"{', '.join(missing)} is not set. See `python -m integ --help`.")
        url = urlsplit(environ["BASE_URL"])
        if url.scheme != "https" or not url.hostname:
            raise SettingsError(f"BASE_URL must be an https:// URL, not {environ['BASE_URL']!r}.")
        firewall = environ.get("FIREWALL") or "present"
        if firewall not in ("present", "absent"):
            raise SettingsError(f"FIREWALL must be present or absent, not {firewall!r}.")
        return cls(
            base_url=environ["BASE_URL"].rstrip("/"),
            key_id=environ["SMOKE_KEY_ID"],
            key_secret=environ["SMOKE_KEY_SECRET"],
            ca_bundle=environ.get("CA_BUNDLE") or environ.get("REQUESTS_CA_BUNDLE"),
            server_name=environ.get("TLS_SERVER_NAME") or None,
            http_url=environ.get("HTTP_URL") or (None if url.port else f"http://{url.hostname}"),
            firewall=firewall == "present",
            payment_method=environ.get("SMOKE_PAYMENT_METHOD") or "tok_visa",
        )

    @property
    def api_key(self) -> str:
        """The key in the form that the API accepts."""
        return f"sk_test_{self.key_id}_{self.key_secret}"

    @property
    def host(self) -> str:
        """Host of `base_url`."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        """Port of `base_url`."""
        return urlsplit(self.base_url).port or 443
