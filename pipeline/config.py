"""The configuration of the whole installation, read once from the CDK context.

Three layers, later ones win: `cdk.json`, the environment variable `CONTEXT_OVERRIDES` (JSON), and `-c key=value`.
The second layer is how values given with `-c` survive self-mutation: the pipeline hands `PipelineConfig.overrides` to
its own synth step, which therefore synthesizes exactly what the person has deployed.
"""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stages.config import CapacityConfig, ConfigurationError, EnvironmentConfig
from stages.naming import Names

CONTEXT_OVERRIDES = "CONTEXT_OVERRIDES"
"""Environment variable of the synth step with the overrides as JSON."""

#: Keys that only the pipeline reads. All others of `cdk.json` are defaults for every environment.
_PIPELINE_KEYS = frozenset(
    {"environment_suffix", "connection_arn", "repository", "branch", "environments", "synth_compute_type"}
)
#: Machines for the synth step. Not CodeBuild's small one: the type check alone needs 3.8 GB when nothing is cached.
SYNTH_COMPUTE_TYPES = ("medium", "large")
#: Keys of one environment that tell the pipeline how to deploy it.
_STAGE_KEYS = frozenset({"approval"})
#: Fields of an environment's configuration that follow from others and are not for `cdk.json`.
_DERIVED = frozenset({"environment_suffix", "pipeline_account", "capacity"})
_ENVIRONMENT_KEYS = frozenset(
    {item.name for cls in (EnvironmentConfig, CapacityConfig) for item in dataclasses.fields(cls)} - _DERIVED
)

#: What our keys look like. Feature flags and the CLI's own keys have an `@`, a colon or a hyphen in them.
_OWN_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,11}")
#: Stages that every pipeline has, and the suffix of the pipeline itself: no environment can be called so.
_RESERVED = frozenset({"source", "build", "updatepipeline", "assets", "scanimage", "main"})
_CONNECTION = re.compile(
    r"arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[0-9a-fA-F-]{36}"
)
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)+")
_BRANCH = re.compile(r"[^\s~^:?*\[\\]+")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One environment as the pipeline deploys it."""

    name: str
    """Key under `environments` in `cdk.json`, such as `dev`."""
    approval: bool
    """Whether a person decides before this environment is deployed to."""
    environment: EnvironmentConfig
    """What is deployed."""

    @property
    def stage_name(self) -> str:
        """Name of the stage in the pipeline, and construct id of the PaymentStage."""
        return self.name.title()


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Everything that synthesis needs to know."""

    environment_suffix: str
    """Namespace of this installation; empty for the only one of an account."""
    account: str
    """Account of the pipeline, and of every environment that names none."""
    region: str
    """Region of the pipeline, and of every environment that names none."""
    connection_arn: str
    """The CodeConnections connection that reads the repository."""
    repository: str
    """`owner/name`."""
    branch: str
    """A push to this branch starts the pipeline."""
    alarm_email: str | None
    """Address for the pipeline's own notifications; environments may name others for their alarms."""
    synth_compute_type: str
    """CodeBuild machine of the synth step. New accounts may have no quota for `large`."""
    log_retention_days: int
    """Days that the pipeline's log groups keep events."""
    stages: tuple[StageConfig, ...]
    """The environments in the order of `cdk.json`."""
    overrides: Mapping[str, Any]
    """What differs from `cdk.json`, for the synth step's `CONTEXT_OVERRIDES`."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: saying which key, why, and what to do.
        """
        if not _CONNECTION.fullmatch(self.connection_arn):
            raise ConfigurationError(
                f"connection_arn: {self.connection_arn!r} is no ARN of a CodeConnections connection. Make one in the "
                "console (Developer Tools > Settings > Connections), complete its handshake, and copy its ARN."
            )
        if not _REPOSITORY.fullmatch(self.repository):
            raise ConfigurationError(f"repository: {self.repository!r} is not of the form owner/name.")
        if not _BRANCH.fullmatch(self.branch):
            raise ConfigurationError(f"branch: {self.branch!r} is no name of a git branch.")
        if self.synth_compute_type not in SYNTH_COMPUTE_TYPES:
            raise ConfigurationError(
                f"synth_compute_type: {self.synth_compute_type!r} is none of {', '.join(SYNTH_COMPUTE_TYPES)}. The "
                "account needs a quota of at least 1 for `Concurrently running builds` of that size (README)."
            )
        if not self.stages:
            raise ConfigurationError(
                'environments: none is configured. Name at least one in cdk.json, such as {"dev": {}}.'
            )
        try:
            self.names  # noqa: B018 - refuses a suffix with which some name would be too long
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    @property
    def names(self) -> Names:
        """Physical names of the pipeline's own resources; they end in `main` where the installation has no suffix."""
        return Names(suffix=self.environment_suffix or "main", account=self.account, region=self.region)

    @property
    def unheard(self) -> tuple[str, ...]:
        """Whose messages reach nobody: `the pipeline` and environments that have no address."""
        own = () if self.alarm_email else ("the pipeline",)
        return (*own, *(stage.name for stage in self.stages if not stage.environment.alarm_email))

    @property
    def stack_name(self) -> str:
        """Name of the only stack that a person deploys."""
        return f"PipelineStack-{self.environment_suffix}" if self.environment_suffix else "PipelineStack"


def read_config(context: Mapping[str, Any], *, file: Path, environ: Mapping[str, str]) -> PipelineConfig:
    """Read the configuration from the merged CDK context, of which `file` (`cdk.json`) is the base.

    Raises:
        ConfigurationError: something is missing, unknown or cannot work.
    """
    base = _own(json.loads(file.read_text(encoding="utf-8")).get("context", {}))
    given = {key: value for key, value in _own(context).items() if key not in base or base[key] != value}
    overrides = _read_overrides(environ.get(CONTEXT_OVERRIDES, "")) | given
    values = _merge(base, overrides)
    known = _PIPELINE_KEYS | _ENVIRONMENT_KEYS
    _refuse_unknown("cdk.json", values, known)
    if not values.get("account"):
        # Kept with the overrides, so that the synth step does not depend on whose credentials it happens to have.
        overrides["account"] = values["account"] = _default_account(environ)
    for key, what in (
        ("connection_arn", "the connection that reads the repository"),
        ("repository", "the repository to deploy, as owner/name"),
    ):
        if not values.get(key):
            raise ConfigurationError(
                f"{key} is missing: {what}. Set it in cdk.json (context), or give it once: "
                f"cdk deploy PipelineStack -c {key}=..."
            )
    stages = tuple(_stages(values))
    first = stages[0].environment if stages else None
    return PipelineConfig(
        environment_suffix=values.get("environment_suffix", ""),
        account=values["account"],
        region=values.get("region", "us-east-1"),
        connection_arn=values["connection_arn"],
        repository=values["repository"],
        branch=values.get("branch", "main"),
        alarm_email=values.get("alarm_email"),
        synth_compute_type=values.get("synth_compute_type", SYNTH_COMPUTE_TYPES[0]),
        log_retention_days=first.capacity.log_retention_days if first else 0,
        stages=stages,
        overrides=MappingProxyType(dict(sorted(overrides.items()))),
    )


def _own(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if _OWN_KEY.fullmatch(key)}


def _read_overrides(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        overrides = json.loads(text)
    except ValueError:
        overrides = None
    if not isinstance(overrides, dict):
        raise ConfigurationError(
            f"{CONTEXT_OVERRIDES} is not a JSON object: {text[:80]!r}. The pipeline sets it; deploy PipelineStack "
            "again by hand to correct it."
        )
    return overrides


def _default_account(environ: Mapping[str, str]) -> str:
    account = environ.get("CDK_DEFAULT_ACCOUNT")
    if not account:
        raise ConfigurationError(
            "account is missing, and the CDK CLI found no credentials to take it from. Log in to the account, or set "
            "account in cdk.json (context) or with -c account=..."
        )
    return account


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Put the overrides over `cdk.json`; `environments.<name>.<key>` changes one value of one environment."""
    values = copy.deepcopy(dict(base))
    values |= {key: value for key, value in overrides.items() if "." not in key}
    values["environments"] = environments = _environments(values.get("environments", {}))
    for key, value in overrides.items():
        if "." not in key:
            continue
        head, name, field = [*key.split(".", 2), "", ""][:3]
        if head != "environments" or not field:
            raise ConfigurationError(f"{key}: a dotted key must look like environments.dev.certificate_arn.")
        if name not in environments:
            raise ConfigurationError(
                f"{key}: there is no environment {name}. cdk.json names {', '.join(environments) or 'none'}."
            )
        environments[name][field] = value
    return values


def _environments(value: Any) -> dict[str, dict[str, Any]]:
    """The environments as an object of objects; `-c` hands over JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise ConfigurationError(
            'environments must be an object of objects, such as {"dev": {}, "prod": {"approval": true}}.'
        )
    return {name: dict(one) for name, one in value.items()}


def _stages(values: Mapping[str, Any]) -> Iterator[StageConfig]:
    defaults = {key: values[key] for key in _ENVIRONMENT_KEYS & values.keys()}
    installation = values.get("environment_suffix", "")
    for name, own in values["environments"].items():
        if not _ENVIRONMENT.fullmatch(name) or name in _RESERVED:
            raise ConfigurationError(
                f"environments.{name}: want lower-case letters and digits, starting with a letter, and none of "
                f"{', '.join(sorted(_RESERVED))}, which have a meaning already."
            )
        _refuse_unknown(f"environments.{name}", own, _STAGE_KEYS | _ENVIRONMENT_KEYS)
        yield StageConfig(
            name=name,
            approval=_truth(f"environments.{name}.approval", own.get("approval", False)),
            environment=EnvironmentConfig.from_mapping(
                {
                    **defaults,
                    **{key: value for key, value in own.items() if key not in _STAGE_KEYS},
                    "environment_suffix": f"{name}-{installation}" if installation else name,
                    "pipeline_account": values["account"],
                }
            ),
        )


def _refuse_unknown(where: str, values: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {', '.join(unknown)}. Known keys: {', '.join(sorted(known))}.")


def _truth(where: str, value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise ConfigurationError(f"{where}: {value!r} is not true or false.")
