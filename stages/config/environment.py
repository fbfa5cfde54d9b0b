"""The configuration of one environment, validated when it is created.

`EnvironmentConfig.from_mapping` parses the keys of `cdk.json` and rejects unknown ones; the constructor rejects what
cannot work. Every message says what is wrong, where, and what to do about it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self  # Any: values of cdk.json are untyped JSON

from kit.configuration import ConfigurationError, field_types, parse_value, reject_unknown_keys
from stages.config.capacity import CapacityConfig
from stages.config.names import EnvironmentNames

DEFAULT_REGION = "us-east-1"
#: Zone ids, because zone letters differ between accounts; use1-az3 lacks Fargate capacity.
DEFAULT_ZONE_IDS: Mapping[str, tuple[str, ...]] = {"us-east-1": ("use1-az1", "use1-az2", "use1-az4")}
ZONES_WITHOUT_FARGATE = frozenset({"use1-az3"})

_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ZONE_ID = re.compile(r"[a-z0-9]+-az\d")
_CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):certificate/[\w-]+")
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_HOSTED_ZONE_ID = re.compile(r"Z[A-Z0-9]{3,31}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """One environment: where it runs, how it is named, and how large it may grow. Never a secret."""

    #: Suffix of every physical name: `dev`, or `dev-alice` in the installation `alice`. At most 12 characters.
    environment_suffix: str
    #: AWS account id, 12 digits.
    account: str
    #: AWS region.
    region: str = DEFAULT_REGION
    #: Exactly three zone ids; empty means the default of the region, which only us-east-1 has.
    availability_zone_ids: tuple[str, ...] = ()
    #: ACM certificate of the load balancer, in the same account and region; not needed with a hosted zone.
    certificate_arn: str | None = None
    #: Host name of the API. Without one, the base URL contains the load balancer's own host name.
    domain_name: str | None = None
    #: Route 53 hosted zone for the alias record, and for the validation record of a certificate created here.
    hosted_zone_id: str | None = None
    #: Name of that zone, to which `domain_name` belongs.
    hosted_zone_name: str | None = None
    #: E-mail address subscribed to the alarm topic; it must confirm the subscription once.
    alarm_email: str | None = None
    #: Payment processor: `sandbox` moves no money.
    processor: Literal["sandbox", "stripe"] = "sandbox"
    #: Whether live-mode API keys may exist here.
    allow_live_keys: bool = False
    #: How a release of the api replaces the previous one: task by task, or as an ECS canary deployment, a tenth of the
    #: requests first. Canary has a trap: ECS owns the weights of two listener rules, and a stack update that changes
    #: such a rule resets them, which can send every request to an empty target group (aws/aws-cdk#36649). Read
    #: docs/operations.md#canary-deployments before setting it, and before resetting it.
    deployment_strategy: Literal["rolling", "canary"] = "rolling"
    #: Account of the delivery pipeline, whose smoke step may read the smoke key; empty means `account`.
    pipeline_account: str = ""
    #: Task sizes, database capacity, retention.
    capacity: CapacityConfig = field(default_factory=CapacityConfig)

    def __post_init__(self) -> None:
        """Fill in derived defaults and validate.

        Raises:
            ConfigurationError: A value is malformed, or values contradict each other.
        """
        try:
            self.names  # noqa: B018 - validates the suffix
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if not self.availability_zone_ids:
            object.__setattr__(self, "availability_zone_ids", DEFAULT_ZONE_IDS.get(self.region, ()))
        if not self.pipeline_account:
            object.__setattr__(self, "pipeline_account", self.account)
        self._check_location()
        self._check_choices()
        self._check_zones()
        self._check_ingress()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], /) -> Self:
        """Create a configuration from plain values of `cdk.json` and of `-c key=value`.

        Args:
            values: The fields of this class and of `CapacityConfig`, all on one level. Text is accepted for numbers,
                booleans and lists, since `-c` passes text only.

        Raises:
            ConfigurationError: A key is unknown, missing or of the wrong type, or its value cannot work.
        """
        where = f"environment {values.get('environment_suffix', '?')}"
        own, capacity = field_types(cls), field_types(CapacityConfig)
        own.pop("capacity")
        types = {**own, **capacity}
        reject_unknown_keys(where, values, types)
        missing = [key for key in ("environment_suffix", "account") if not values.get(key)]
        if missing:
            raise ConfigurationError(
                f"{where}: {missing[0]} is missing. Set it in cdk.json or with -c {missing[0]}=...; "
                "account defaults to that of the CLI's credentials, if there are any."
            )
        parsed = {key: parse_value(f"{where}: {key}", value, types[key]) for key, value in values.items()}
        try:
            sizes = CapacityConfig(**{key: value for key, value in parsed.items() if key in capacity})
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        return cls(**{key: value for key, value in parsed.items() if key in own}, capacity=sizes)

    @property
    def names(self) -> EnvironmentNames:
        """The physical names of this environment."""
        return EnvironmentNames(suffix=self.environment_suffix, account=self.account, region=self.region)

    @property
    def uses_canary(self) -> bool:
        """Whether a release of the api is tried on part of the requests first."""
        return self.deployment_strategy == "canary"

    @property
    def log_retention_days(self) -> int:
        """Retention of log groups in days; see `CapacityConfig`."""
        return self.capacity.log_retention_days

    @property
    def unmatched_certificate_arn(self) -> str | None:
        """The certificate, if its name does not match the base URL: without a domain, that is the load balancer's."""
        return self.certificate_arn if self.domain_name is None else None

    def _error(self, key: str, message: str) -> ConfigurationError:
        return ConfigurationError(f"environment {self.environment_suffix}: {key}: {message}")

    def _check_location(self) -> None:
        for key in ("account", "pipeline_account"):
            if not _ACCOUNT.fullmatch(getattr(self, key)):
                raise self._error(key, f"{getattr(self, key)!r} is not an AWS account id of 12 digits. "
                                  "Quote it in JSON to preserve leading zeros.")  # fmt: skip
        if not _REGION.fullmatch(self.region):
            raise self._error("region", f"{self.region!r} is not a region name such as us-east-1.")

    def _check_choices(self) -> None:
        if self.processor not in ("sandbox", "stripe"):
            raise self._error("processor", f"{self.processor!r} is unknown. Use sandbox or stripe.")
        if self.deployment_strategy not in ("rolling", "canary"):
            raise self._error("deployment_strategy", f"{self.deployment_strategy!r} is unknown. Use rolling (the "
                              "default) or canary (docs/operations.md#canary-deployments).")  # fmt: skip
        if self.alarm_email is not None and not _EMAIL.fullmatch(self.alarm_email):
            raise self._error("alarm_email", f"{self.alarm_email!r} is not an e-mail address. Correct or omit it.")
        if self.allow_live_keys and self.processor == "sandbox":
            raise self._error("allow_live_keys", "with the sandbox processor, live keys would accept orders without "
                              "collecting money. Set processor to stripe.")  # fmt: skip

    def _check_zones(self) -> None:
        zones = self.availability_zone_ids
        if not zones:
            raise self._error("availability_zone_ids", f"region {self.region} has no default. List three zone ids; "
                              "`aws ec2 describe-availability-zones` shows them as ZoneId.")  # fmt: skip
        if len(zones) != 3 or len(set(zones)) != 3:
            raise self._error("availability_zone_ids", f"exactly three different zones are required, not "
                              f"{', '.join(zones)}.")  # fmt: skip
        for zone in zones:
            if not _ZONE_ID.fullmatch(zone):
                raise self._error("availability_zone_ids", f"{zone!r} is not a zone id such as use1-az1. Zone names "
                                  "such as us-east-1a refer to different zones in each account.")  # fmt: skip
            if zone in ZONES_WITHOUT_FARGATE:
                raise self._error("availability_zone_ids", f"{zone} has no Fargate capacity. Use another zone.")

    def _check_ingress(self) -> None:
        if self.certificate_arn is not None:
            self._check_certificate(self.certificate_arn)
        if self.domain_name is not None and not _DOMAIN.fullmatch(self.domain_name):
            raise self._error("domain_name", f"{self.domain_name!r} is not a host name in lower case.")
        if (self.hosted_zone_id is None) != (self.hosted_zone_name is None):
            raise self._error("hosted_zone_id", "must be set together with hosted_zone_name. Set both or neither.")
        if self.hosted_zone_id is not None and not _HOSTED_ZONE_ID.fullmatch(self.hosted_zone_id):
            raise self._error("hosted_zone_id", f"{self.hosted_zone_id!r} is not a hosted zone id such as "
                              "Z0123456789AB.")  # fmt: skip
        if self.hosted_zone_name is not None:
            self._check_domain_in_zone(self.hosted_zone_name)
        if self.certificate_arn is None and self.hosted_zone_id is None:
            raise self._error("certificate_arn", "HTTPS requires a certificate. Set certificate_arn to one in ACM "
                              "(for an evaluation, import a self-signed one), or set domain_name, hosted_zone_id and "
                              "hosted_zone_name to have one created.")  # fmt: skip

    def _check_certificate(self, arn: str) -> None:
        match = _CERTIFICATE.fullmatch(arn)
        if match is None:
            raise self._error("certificate_arn", f"{arn!r} is not the ARN of an ACM certificate.")
        if (match["region"], match["account"]) != (self.region, self.account):
            raise self._error("certificate_arn", f"the certificate is in {match['account']}/{match['region']}, but the "
                              f"load balancer in {self.account}/{self.region} needs one there.")  # fmt: skip

    def _check_domain_in_zone(self, zone: str) -> None:
        if self.domain_name is None:
            raise self._error("domain_name", "is required with a hosted zone. Set it to the host name of the API.")
        if self.domain_name != zone and not self.domain_name.endswith(f".{zone}"):
            raise self._error("domain_name", f"{self.domain_name} is not in the hosted zone {zone}.")
