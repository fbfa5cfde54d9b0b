"""The configuration of one environment, validated when it is made.

`EnvironmentConfig.from_mapping` reads the keys of `cdk.json` (or of a test) and refuses what it does not know; the
constructor refuses what cannot work. Every message says what is wrong, where, and what to do about it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from stages.naming import Names
from stages.plain_values import ConfigurationError, field_types, read_value

__all__ = ["CapacityConfig", "ConfigurationError", "EnvironmentConfig", "Place"]

DEFAULT_REGION = "us-east-1"
#: Zone ids, because zone letters differ between accounts; use1-az3 lacks Fargate capacity.
DEFAULT_ZONE_IDS: Mapping[str, tuple[str, ...]] = {"us-east-1": ("use1-az1", "use1-az2", "use1-az4")}
ZONES_WITHOUT_FARGATE = frozenset({"use1-az3"})

#: Task sizes that Fargate sells: CPU units to the memory sizes in MiB that go with them.
FARGATE_SIZES: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
}

_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ZONE_ID = re.compile(r"[a-z0-9]+-az\d")
_CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):certificate/[\w-]+")
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_ZONE = re.compile(r"Z[A-Z0-9]{3,31}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Place(Protocol):
    """Where resources are made and how they are called: an environment, or the pipeline's own installation."""

    @property
    def names(self) -> Names:
        """Their physical names."""

    @property
    def account(self) -> str:
        """The AWS account, 12 digits."""

    @property
    def region(self) -> str:
        """The AWS region."""

    @property
    def log_retention_days(self) -> int:
        """Days that log groups keep events."""


@dataclass(frozen=True, kw_only=True)
class CapacityConfig:
    """How much an environment may use. The defaults suit an idle evaluation and a small production alike."""

    api_cpu: int = 512
    """CPU units of an api task (1024 is one vCPU)."""
    api_memory_mib: int = 1024
    """Memory of an api task in MiB."""
    api_min_tasks: int = 2
    """Api tasks that always run; two, so that losing one zone is no outage."""
    api_max_tasks: int = 10
    """Api tasks at most."""
    worker_cpu: int = 256
    """CPU units of a worker task."""
    worker_memory_mib: int = 512
    """Memory of a worker task in MiB."""
    worker_min_tasks: int = 1
    """Worker tasks that always run."""
    worker_max_tasks: int = 2
    """Worker tasks at most."""
    requests_per_task_per_minute: int = 3_000
    """Requests a minute that one api task shall carry before another is started: about 60 % of the 4,800 payments a
    minute that half a vCPU carries at the 6.2 ms of api processor time a payment that were measured (`make bench` has
    the throughput of a machine), so that a rise within one scaling interval is survived."""
    database_min_acu: float = 0.5
    """Aurora capacity units (2 GiB of memory each) at rest; 0.5 is the least that never pauses."""
    database_max_acu: float = 4.0
    """Aurora capacity units at most."""
    backup_retention_days: int = 7
    """Days that automated backups reach back while the environment exists (1-35)."""
    log_retention_days: int = 30
    """Days that log groups keep events (a value that CloudWatch Logs knows)."""

    def __post_init__(self) -> None:
        """Refuse sizes that AWS does not sell and ranges that are none."""
        for kind in ("api", "worker"):
            cpu, memory = getattr(self, f"{kind}_cpu"), getattr(self, f"{kind}_memory_mib")
            if memory not in FARGATE_SIZES.get(cpu, ()):
                offers = "; ".join(f"{units}: {sizes[0]}-{sizes[-1]}" for units, sizes in FARGATE_SIZES.items())
                raise ConfigurationError(
                    f"capacity.{kind}_cpu/{kind}_memory_mib: Fargate has no task of {cpu} CPU units with {memory} MiB. "
                    f"Use one of its pairs (CPU units: MiB): {offers}."
                )
            self._check_range(f"{kind}_min_tasks", f"{kind}_max_tasks", least=1, most=100)
        self._check_range("database_min_acu", "database_max_acu", least=0.5, most=256)
        if any(acu * 2 != int(acu * 2) for acu in (self.database_min_acu, self.database_max_acu)):
            raise ConfigurationError("capacity.database_min_acu/database_max_acu: Aurora sells steps of 0.5 ACU.")
        if not 1 <= self.requests_per_task_per_minute <= 1_000_000:
            raise ConfigurationError("capacity.requests_per_task_per_minute must lie between 1 and 1000000.")
        if not 1 <= self.backup_retention_days <= 35:
            raise ConfigurationError("capacity.backup_retention_days: Aurora keeps backups for 1 to 35 days.")
        if self.log_retention_days not in LOG_RETENTION_DAYS:
            raise ConfigurationError(
                f"capacity.log_retention_days: CloudWatch Logs has no retention of {self.log_retention_days} days. "
                f"Use one of {', '.join(map(str, LOG_RETENTION_DAYS))}."
            )

    def _check_range(self, low: str, high: str, *, least: float, most: float) -> None:
        if not least <= getattr(self, low) <= getattr(self, high) <= most:
            raise ConfigurationError(
                f"capacity.{low}={getattr(self, low)}, capacity.{high}={getattr(self, high)}: "
                f"want {least:g} <= {low} <= {high} <= {most:g}."
            )


#: Retention periods that CloudWatch Logs offers, in days.
LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288,
                      3653)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """One environment: where it runs, under which name, how large it may grow. Never a secret."""

    environment_suffix: str
    """Ends every physical name: `dev`, or `dev-alice` in the installation `alice`. At most 12 characters."""
    account: str
    """The AWS account, 12 digits."""
    region: str = DEFAULT_REGION
    """The AWS region."""
    availability_zone_ids: tuple[str, ...] = ()
    """Exactly three zone ids; empty takes the default of the region (us-east-1 has one)."""
    certificate_arn: str | None = None
    """ACM certificate of the load balancer in the same account and region; not needed with a hosted zone."""
    domain_name: str | None = None
    """Host name of the API. Without one the load balancer's own name is the base URL."""
    hosted_zone_id: str | None = None
    """Route 53 zone that gets the alias record, and the validation record of a certificate made here."""
    hosted_zone_name: str | None = None
    """Name of that zone; `domain_name` lies in it."""
    alarm_email: str | None = None
    """Address that the alarm topic sends to; it must confirm once."""
    processor: Literal["sandbox", "stripe"] = "sandbox"
    """Payment processor that tasks use: `sandbox` moves no money."""
    allow_live_keys: bool = False
    """Whether live-mode API keys may exist here."""
    deployment_strategy: Literal["rolling", "canary"] = "rolling"
    """How a release of the api replaces the last one: task by task, or as ECS's canary, a tenth of the requests first.
    Canary has a trap: ECS owns the weights of two listener rules, and an update of the stack that changes such a rule
    resets them, which can send every request to an empty target group (aws/aws-cdk#36649). Before setting it, and
    before setting it back, read docs/operations.md#canary-deployments."""
    pipeline_account: str = ""
    """Account of the delivery pipeline, whose smoke step may read the smoke key; empty means `account`."""
    capacity: CapacityConfig = field(default_factory=CapacityConfig)
    """Task sizes, database capacity, retention."""

    def __post_init__(self) -> None:
        """Fill in what has a default elsewhere and refuse what cannot work."""
        try:
            self.names  # noqa: B018 - refuses a suffix with which some name would be too long
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if not self.availability_zone_ids:
            object.__setattr__(self, "availability_zone_ids", DEFAULT_ZONE_IDS.get(self.region, ()))
        if not self.pipeline_account:
            object.__setattr__(self, "pipeline_account", self.account)
        self._check_place()
        self._check_zones()
        self._check_ingress()
        if self.alarm_email is not None and not _EMAIL.fullmatch(self.alarm_email):
            raise self._error("alarm_email", f"{self.alarm_email!r} is no e-mail address. Correct it, or leave it out.")
        if self.allow_live_keys and self.processor == "sandbox":
            raise self._error("allow_live_keys", "live keys with the sandbox processor would take orders and no money. "
                              "Set processor to stripe.")  # fmt: skip

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], /) -> Self:
        """Make a configuration from plain values as `cdk.json` and `-c key=value` hold them.

        Keys are the fields of this class and of `CapacityConfig`, all on one level. Text is accepted for numbers and
        truth values, since `-c` knows only text.

        Raises:
            ConfigurationError: a key is unknown, missing or of the wrong type, or its value cannot work.
        """
        where = str(values.get("environment_suffix", "?"))
        own, capacity = field_types(cls), field_types(CapacityConfig)
        own.pop("capacity")
        unknown = sorted(set(values) - set(own) - set(capacity))
        if unknown:
            known = ", ".join(sorted([*own, *capacity]))
            raise ConfigurationError(f"environment {where}: unknown key {', '.join(unknown)}. Known keys: {known}.")
        missing = [key for key in ("environment_suffix", "account") if not values.get(key)]
        if missing:
            raise ConfigurationError(
                f"environment {where}: {missing[0]} is missing. Set it in cdk.json or with -c {missing[0]}=...; "
                "account defaults to the one of the CLI's credentials when there are any."
            )
        read = {key: read_value(where, key, value, {**own, **capacity}[key]) for key, value in values.items()}
        sizes = CapacityConfig(**{key: value for key, value in read.items() if key in capacity})
        return cls(**{key: value for key, value in read.items() if key in own}, capacity=sizes)

    @property
    def names(self) -> Names:
        """The physical names of this environment."""
        return Names(suffix=self.environment_suffix, account=self.account, region=self.region)

    @property
    def uses_canary(self) -> bool:
        """Whether a release of the api is tried on a part of the requests first."""
        return self.deployment_strategy == "canary"

    @property
    def log_retention_days(self) -> int:
        """Days that log groups keep events; see `CapacityConfig`."""
        return self.capacity.log_retention_days

    @property
    def foreign_certificate_arn(self) -> str | None:
        """The certificate, where clients call another name than it carries: the load balancer's, without a domain."""
        return self.certificate_arn if self.domain_name is None else None

    def _error(self, key: str, message: str) -> ConfigurationError:
        return ConfigurationError(f"environment {self.environment_suffix}: {key}: {message}")

    def _check_place(self) -> None:
        for key in ("account", "pipeline_account"):
            if not _ACCOUNT.fullmatch(getattr(self, key)):
                raise self._error(key, f"{getattr(self, key)!r} is not an AWS account id of 12 digits. "
                                  "Quote it in JSON, or leading zeros get lost.")  # fmt: skip
        if not _REGION.fullmatch(self.region):
            raise self._error("region", f"{self.region!r} is not a region name such as us-east-1.")
        if self.processor not in ("sandbox", "stripe"):
            raise self._error("processor", f"{self.processor!r} is unknown. Use sandbox or stripe.")
        if self.deployment_strategy not in ("rolling", "canary"):
            raise self._error("deployment_strategy", f"{self.deployment_strategy!r} is unknown. Use rolling (the "
                              "default) or canary (docs/operations.md#canary-deployments).")  # fmt: skip

    def _check_zones(self) -> None:
        zones = self.availability_zone_ids
        if not zones:
            raise self._error("availability_zone_ids", f"region {self.region} has no default. Name three zone ids, as "
                              "`aws ec2 describe-availability-zones` lists them under ZoneId.")  # fmt: skip
        if len(zones) != 3 or len(set(zones)) != 3:
            raise self._error("availability_zone_ids", f"exactly three different zones are needed, not "
                              f"{', '.join(zones)}.")  # fmt: skip
        for zone in zones:
            if not _ZONE_ID.fullmatch(zone):
                raise self._error(
                    "availability_zone_ids",
                    f"{zone!r} is not a zone id such as use1-az1. Letters such as us-east-1a name different zones in "
                    "each account and are not accepted.",
                )
            if zone in ZONES_WITHOUT_FARGATE:
                raise self._error("availability_zone_ids", f"{zone} has no Fargate capacity. Use another zone.")

    def _check_ingress(self) -> None:
        if self.certificate_arn is not None:
            self._check_certificate(self.certificate_arn)
        if self.domain_name is not None and not _DOMAIN.fullmatch(self.domain_name):
            raise self._error("domain_name", f"{self.domain_name!r} is no host name in lower case.")
        if (self.hosted_zone_id is None) != (self.hosted_zone_name is None):
            raise self._error("hosted_zone_id", "goes together with hosted_zone_name. Set both, or neither.")
        if self.hosted_zone_id is not None and not _ZONE.fullmatch(self.hosted_zone_id):
            raise self._error(
                "hosted_zone_id", f"{self.hosted_zone_id!r} is no Route 53 zone id such as Z0123456789AB."
            )
        if self.hosted_zone_name is not None:
            self._check_in_zone(self.hosted_zone_name)
        if self.certificate_arn is None and self.hosted_zone_id is None:
            raise self._error("certificate_arn", "HTTPS needs a certificate. Set certificate_arn to one in ACM (a "
                              "self-signed one may be imported to evaluate), or domain_name, hosted_zone_id and "
                              "hosted_zone_name to have one made.")  # fmt: skip

    def _check_certificate(self, arn: str) -> None:
        match = _CERTIFICATE.fullmatch(arn)
        if match is None:
            raise self._error("certificate_arn", f"{arn!r} is no ARN of an ACM certificate.")
        if (match["region"], match["account"]) != (self.region, self.account):
            raise self._error("certificate_arn", f"is in {match['account']}/{match['region']}, but a load balancer in "
                              f"{self.account}/{self.region} can use only its own.")  # fmt: skip

    def _check_in_zone(self, zone: str) -> None:
        if self.domain_name is None:
            raise self._error("domain_name", "is needed with a hosted zone. Set the host name of the API.")
        if self.domain_name != zone and not self.domain_name.endswith(f".{zone}"):
            raise self._error("domain_name", f"{self.domain_name} does not lie in the hosted zone {zone}.")
