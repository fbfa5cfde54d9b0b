"""Settings of a process, read once from its environment variables.

The database has libpq's own variables (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE, PGSSLROOTCERT).
"""

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from payments.core.operator_errors import OperatorError

ProcessorName = Literal["sandbox", "stripe"]
PROCESSORS: tuple[str, ...] = get_args(ProcessorName)
#: What a variable takes, by pydantic's type of error; the violated constraint is filled in.
_MESSAGES = {
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
}
#: Stripe's secret and restricted keys; the group is the mode.
_STRIPE_KEY = re.compile(r"[sr]k_(test|live)_[A-Za-z0-9_]+")
_STRIPE_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")


class SettingsError(OperatorError):
    """An environment variable has an unusable value; the message names it and says what it takes."""


class Settings(BaseSettings):
    """Configuration of one process. Each field is the environment variable of that name in upper case."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    #: Name of the environment: a dimension of metrics and a field of every log line.
    environment: str = Field(default="local", pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")
    bind_host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65_535)
    #: Where clients reach the API, without a trailing slash: base of links such as the 3-D Secure page.
    public_base_url: Annotated[str, AfterValidator(lambda url: url.rstrip("/"))] = Field(
        default_factory=lambda fields: f"https://localhost:{fields['port']}", pattern="^https://.+"
    )
    allow_live_keys: bool = False
    processor: ProcessorName = "sandbox"
    stripe_api_key: str = Field(default="", repr=False)
    stripe_webhook_secret: str = Field(default="", repr=False)
    #: Concurrent requests, most of them waiting for the processor; further ones get 429. At least 64 are promised.
    max_in_flight: int = Field(default=128, ge=1)
    #: Connections shared by requests. A request holds one only inside its transactions, never during a processor call.
    db_pool_size: int = Field(default=16, ge=1)
    #: Whether webhooks may be sent to addresses that are not public. Not allowed together with live keys.
    allow_local_webhooks: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    #: Factor by which a soak test shortens the process's waits. Not allowed together with live keys.
    time_scale: float = Field(default=1.0, ge=1, le=1000)
    #: Set by AWS in every task.
    aws_execution_env: str = Field(default="", repr=False)
    ecs_container_metadata_uri_v4: str = Field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment; an unset or empty variable keeps its default.

        Raises:
            SettingsError: A variable cannot be used, or two contradict each other.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(_message(error.errors(include_input=False)[0])) from None

    @model_validator(mode="after")
    def _check_development(self) -> Self:
        """Refuse switches for development where money moves, or on AWS."""
        for name, is_set in (("ALLOW_LOCAL_WEBHOOKS", self.allow_local_webhooks), ("TIME_SCALE", self.time_scale != 1)):
            if is_set and self.allow_live_keys:
                raise ValueError(f"{name} and ALLOW_LIVE_KEYS exclude each other. Unset one.")
            if is_set and (self.aws_execution_env or self.ecs_container_metadata_uri_v4):
                raise ValueError(f"{name} is for development, not for AWS. Unset it.")
        return self

    @model_validator(mode="after")
    def _check_processor(self) -> Self:
        """Refuse what would take orders without taking money, or take money in a test."""
        if self.processor == "sandbox":
            if self.allow_live_keys:
                raise ValueError(
                    "PROCESSOR=sandbox moves no money, so ALLOW_LIVE_KEYS=true would accept orders that nobody pays. "
                    "Set PROCESSOR=stripe, or ALLOW_LIVE_KEYS=false."
                )
            return self
        if not (self.stripe_api_key and self.stripe_webhook_secret):
            raise ValueError("PROCESSOR=stripe needs both STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET.")
        mode = _STRIPE_KEY.fullmatch(self.stripe_api_key)
        if mode is None:
            raise ValueError(
                "STRIPE_API_KEY must be a secret or restricted key: sk_live_..., rk_live_..., or with test."
            )
        if self.allow_live_keys and mode[1] == "test":
            raise ValueError(
                "STRIPE_API_KEY is a test key, so ALLOW_LIVE_KEYS=true would accept orders that nobody pays. "
                "Set a live key, or ALLOW_LIVE_KEYS=false."
            )
        if not self.allow_live_keys and mode[1] == "live":
            raise ValueError(
                "STRIPE_API_KEY is a live key, which has no use with ALLOW_LIVE_KEYS=false. "
                "Set a test key, or ALLOW_LIVE_KEYS=true."
            )
        if not _STRIPE_WEBHOOK_SECRET.fullmatch(self.stripe_webhook_secret):
            raise ValueError("STRIPE_WEBHOOK_SECRET must be an endpoint's signing secret: whsec_...")
        return self


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if not error["loc"]:
        return str(context["error"])
    expectation = _MESSAGES[error["type"]].format(**context)
    return f"{str(error['loc'][0]).upper()} {expectation}."
