"""What a process is told by its environment, read once, validated with messages that say what to do.

The database is configured by libpq's own variables (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE,
PGSSLROOTCERT), which are not repeated here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from payments.core import time_scale

_T = TypeVar("_T")
PROCESSORS = ("sandbox", "stripe")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_MAX_PORT = 65_535


class SettingsError(ValueError):
    """An environment variable that cannot be used; the message names it and says what it takes."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Configuration of one process."""

    #: Name of the environment: a dimension of metrics and a field of every log line.
    environment: str = "local"
    bind_host: str = "127.0.0.1"
    port: int = 8443
    #: Where clients reach the API, without a slash at the end: base of links such as the 3-D Secure page.
    public_base_url: str = "https://localhost:8443"
    allow_live_keys: bool = False
    processor: str = "sandbox"
    stripe_api_key: str = field(default="", repr=False)
    stripe_webhook_secret: str = field(default="", repr=False)
    #: Requests served at once, most of them waiting for the processor; more are refused with 429. 64 are promised.
    max_in_flight: int = 128
    #: Connections that requests share. A request holds one inside its transactions only, never during a processor call.
    pool_size: int = 16
    #: Seconds that a request waits for one of them before it answers 503.
    pool_timeout: float = 3.0
    #: Whether webhooks may be sent to addresses that are not public. Refused where live keys are allowed.
    allow_local_webhooks: bool = False
    log_level: str = "INFO"
    #: How many times faster than usual the process waits, in a soak. Refused where live keys are allowed.
    time_scale: float = 1.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings that ``environ`` holds; what it does not name keeps its default.

        Raises:
            SettingsError: the first variable that cannot be used.
        """

        def read(name: str, parse: Callable[[str, str], _T], default: _T) -> _T:
            text = environ.get(name, "")
            return parse(name, text) if text else default

        port = read("PORT", _port, cls.port)
        settings = cls(
            environment=read("ENVIRONMENT", _environment, cls.environment),
            bind_host=environ.get("BIND_HOST") or cls.bind_host,
            port=port,
            public_base_url=read("PUBLIC_BASE_URL", _url, f"https://localhost:{port}"),
            allow_live_keys=read("ALLOW_LIVE_KEYS", _flag, cls.allow_live_keys),
            processor=read("PROCESSOR", _processor, cls.processor),
            stripe_api_key=environ.get("STRIPE_API_KEY", ""),
            stripe_webhook_secret=environ.get("STRIPE_WEBHOOK_SECRET", ""),
            max_in_flight=read("MAX_IN_FLIGHT", _positive, cls.max_in_flight),
            pool_size=read("DB_POOL_SIZE", _positive, cls.pool_size),
            allow_local_webhooks=read("ALLOW_LOCAL_WEBHOOKS", _flag, cls.allow_local_webhooks),
            log_level=read("LOG_LEVEL", _log_level, cls.log_level),
            time_scale=_time_scale(environ),
        )
        settings.validate()
        return settings

    def validate(self) -> None:
        """Refuse combinations that cannot work.

        Raises:
            SettingsError: what contradicts what.
        """
        if self.processor == "stripe" and not (self.stripe_api_key and self.stripe_webhook_secret):
            raise SettingsError("PROCESSOR=stripe needs STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET. Set both.")
        if self.allow_live_keys and self.allow_local_webhooks:
            raise SettingsError("ALLOW_LOCAL_WEBHOOKS is for machines without live keys. Unset it or ALLOW_LIVE_KEYS.")
        if self.allow_live_keys and self.time_scale != 1:
            raise SettingsError(f"{time_scale.VARIABLE} is for soaks, without live keys. Unset it or ALLOW_LIVE_KEYS.")


def _environment(name: str, text: str) -> str:
    if _ENVIRONMENT.fullmatch(text) is None:
        raise SettingsError(f"{name} must be 1 to 64 letters, digits and hyphens.")
    return text


def _port(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _MAX_PORT:
        raise SettingsError(f"{name} must be a port number from 0 to {_MAX_PORT}.")
    return int(text)


def _positive(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{name} must be a whole number of at least 1.")
    return int(text)


def _url(name: str, text: str) -> str:
    if not text.startswith("https://") or len(text) == len("https://"):
        raise SettingsError(f"{name} must be an https:// address.")
    return text.rstrip("/")


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise SettingsError(f"{name} must be 'true' or 'false'.")
    return text == "true"


def _processor(name: str, text: str) -> str:
    if text not in PROCESSORS:
        raise SettingsError(f"{name} must be one of {', '.join(PROCESSORS)}.")
    return text


def _log_level(name: str, text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"{name} must be DEBUG, INFO, WARNING or ERROR.")
    return text


def _time_scale(environ: Mapping[str, str]) -> float:
    try:
        return time_scale.read(environ)
    except ValueError as error:
        raise SettingsError(str(error)) from error
