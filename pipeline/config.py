"""The configuration of the whole installation, read once from the CDK context.

Three layers, of which later ones take precedence: `cdk.json`, the environment variable `CONTEXT_OVERRIDES` (JSON), and
`-c key=value`. Through the second layer, values given with `-c` survive self-mutation: the pipeline passes
`PipelineConfig.overrides` to its own synth step, which therefore synthesizes exactly what the person has deployed.
"""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any  # values of the CDK context are untyped JSON

from kit.configuration import ConfigurationError, parse_value, reject_unknown_keys
from kit.naming import Names
from pipeline.missing import message, missing_values
from stages.config.capacity import CapacityConfig
from stages.config.environment import DEFAULT_REGION, EnvironmentConfig

#: Environment variable of the synth step with the overrides as JSON.
CONTEXT_OVERRIDES = "CONTEXT_OVERRIDES"
#: Keys that only the pipeline reads. All others of `cdk.json` are defaults for every environment.
_PIPELINE_KEYS = frozenset(
    {"environment_suffix", "connection_arn", "repository", "branch", "environments", "synth_compute_type"}
)
#: CodeBuild machines for the synth step. Not the small one: the type check needs 3.8 GB when nothing is cached.
SYNTH_COMPUTE_TYPES = ("medium", "large")
#: Keys of one environment that only the pipeline reads.
_STAGE_KEYS = frozenset({"approval"})
#: Fields of an environment's configuration that are derived and cannot be set in `cdk.json`.
_DERIVED = frozenset({"environment_suffix", "pipeline_account", "capacity"})
_ENVIRONMENT_KEYS = frozenset(
    {item.name for cls in (EnvironmentConfig, CapacityConfig) for item in dataclasses.fields(cls)} - _DERIVED
)

#: Our own keys. Feature flags and keys of the CDK CLI contain an `@`, a colon or a hyphen.
_OWN_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,11}")
#: Stages that every pipeline has, and the suffix of the pipeline itself: no environment can have these names.
_RESERVED = frozenset({"source", "build", "updatepipeline", "assets", "scanimage", "main"})
_CONNECTION = re.compile(
    r"arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[0-9a-fA-F-]{36}"
)
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)+")
_BRANCH = re.compile(r"[^\s~^:?*\[\\]+")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One environment as the pipeline deploys it."""

    #: Key under `environments` in `cdk.json`, such as `dev`.
    name: str
    #: Whether a person must approve each deployment to this environment.
    approval: bool
    #: What is deployed.
    environment: EnvironmentConfig

    @property
    def stage_name(self) -> str:
        """Name of the stage in the pipeline, and construct id of the PaymentStage."""
        return self.name.title()


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Everything that synthesis needs to know."""

    #: Namespace of this installation; empty for the main one of an account.
    environment_suffix: str
    #: Account of the pipeline, and of every environment that specifies none.
    account: str
    #: Region of the pipeline, and of every environment that specifies none.
    region: str
    #: ARN of the CodeConnections connection to the repository.
    connection_arn: str
    #: `owner/name`.
    repository: str
    #: A push to this branch starts the pipeline.
    branch: str
    #: Address for the pipeline's own notifications, and for alarms of environments that specify none.
    alarm_email: str | None
    #: CodeBuild machine of the synth step. New accounts may have no quota for `large`.
    synth_compute_type: str
    #: Retention of the pipeline's log groups in days.
    log_retention_days: int
    #: The environments in the order of `cdk.json`.
    stages: tuple[StageConfig, ...]
    #: What differs from `cdk.json`, for the synth step's `CONTEXT_OVERRIDES`.
    overrides: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Validate.

        Raises:
            ConfigurationError: A value is malformed or missing.
        """
        if not _CONNECTION.fullmatch(self.connection_arn):
            raise ConfigurationError(
                f"connection_arn: {self.connection_arn!r} is not the ARN of a CodeConnections connection. Create one "
                "in the console (Developer Tools > Settings > Connections), complete its handshake, and copy its ARN."
            )
        if not _REPOSITORY.fullmatch(self.repository):
            raise ConfigurationError(f"repository: {self.repository!r} is not of the form owner/name.")
        if not _BRANCH.fullmatch(self.branch):
            raise ConfigurationError(f"branch: {self.branch!r} is not a valid git branch name.")
        if self.synth_compute_type not in SYNTH_COMPUTE_TYPES:
            raise ConfigurationError(
                f"synth_compute_type: {self.synth_compute_type!r} is unknown. Use {' or '.join(SYNTH_COMPUTE_TYPES)}; "
                "the account needs a quota of at least 1 for `Concurrently running builds` of that size."
            )
        if not self.stages:
            raise ConfigurationError('environments: empty. Configure at least one in cdk.json, such as {"dev": {}}.')
        try:
            self.names  # noqa: B018 - validates the suffix
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    @property
    def names(self) -> Names:
        """Physical names of the pipeline's own resources; they end in `main` if the installation has no suffix."""
        return Names(suffix=self.environment_suffix or "main", account=self.account, region=self.region)

    @property
    def without_subscriber(self) -> tuple[str, ...]:
        """Whose messages reach nobody: `the pipeline` and environments without an address."""
        own = () if self.alarm_email else ("the pipeline",)
        return (*own, *(stage.name for stage in self.stages if not stage.environment.alarm_email))

    @property
    def stack_name(self) -> str:
        """Name of the only stack that a person deploys."""
        return f"PipelineStack-{self.environment_suffix}" if self.environment_suffix else "PipelineStack"


def read_config(context: Mapping[str, Any], *, file: Path, environ: Mapping[str, str]) -> PipelineConfig:
    """Read the configuration.

    Args:
        context: The merged CDK context.
        file: `cdk.json`, the base of `context`.
        environ: Environment variables.

    Raises:
        ConfigurationError: Something is missing or unknown, or cannot work.
    """
    base = _own_keys(json.loads(file.read_text(encoding="utf-8")).get("context", {}))
    given = {key: value for key, value in _own_keys(context).items() if key not in base or base[key] != value}
    overrides = _parse_overrides(environ.get(CONTEXT_OVERRIDES, "")) | given
    values = _merge(base, overrides)
    reject_unknown_keys("cdk.json", values, _PIPELINE_KEYS | _ENVIRONMENT_KEYS)
    if not values.get("account") and (own := environ.get("CDK_DEFAULT_ACCOUNT")):
        # Stored with the overrides, so that the synth step does not depend on the credentials that it happens to have.
        overrides["account"] = values["account"] = own
    if missing := list(missing_values(values)):
        raise ConfigurationError(message(missing))
    stages = tuple(_stages(values))
    return PipelineConfig(
        environment_suffix=values.get("environment_suffix", ""),
        account=values["account"],
        region=values.get("region", DEFAULT_REGION),
        connection_arn=values["connection_arn"],
        repository=values["repository"],
        branch=values.get("branch", "main"),
        alarm_email=values.get("alarm_email"),
        synth_compute_type=values.get("synth_compute_type", SYNTH_COMPUTE_TYPES[0]),
        log_retention_days=stages[0].environment.log_retention_days if stages else 0,
        stages=stages,
        overrides=MappingProxyType(dict(sorted(overrides.items()))),
    )


def _own_keys(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if _OWN_KEY.fullmatch(key)}


def _parse_object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object; return None if the text is anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _parse_overrides(text: str) -> dict[str, Any]:
    overrides = _parse_object(text or "{}")
    if overrides is None:
        raise ConfigurationError(
            f"{CONTEXT_OVERRIDES} is not a JSON object: {text[:80]!r}. The pipeline sets it; deploy PipelineStack "
            "by hand to correct it."
        )
    return overrides


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge overrides into `cdk.json`; `environments.<name>.<key>` changes one value of one environment."""
    values = copy.deepcopy(dict(base))
    values |= {key: value for key, value in overrides.items() if "." not in key}
    values["environments"] = environments = _parse_environments(values.get("environments", {}))
    for key, value in overrides.items():
        if "." not in key:
            continue
        head, name, field = [*key.split(".", 2), "", ""][:3]
        if head != "environments" or not field:
            raise ConfigurationError(f"{key}: a dotted key must look like environments.dev.certificate_arn.")
        if name not in environments:
            raise ConfigurationError(
                f"{key}: unknown environment {name}. cdk.json configures {', '.join(environments) or 'none'}."
            )
        environments[name][field] = value
    return values


def _parse_environments(value: Any) -> dict[str, dict[str, Any]]:
    """Return the environments as an object of objects; `-c` passes JSON text."""
    if isinstance(value, str):
        value = _parse_object(value)
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise ConfigurationError(
            'environments: must be an object of objects, such as {"dev": {}, "prod": {"approval": true}}.'
        )
    return {name: dict(one) for name, one in value.items()}


def _stages(values: Mapping[str, Any]) -> Iterator[StageConfig]:
    defaults = {key: values[key] for key in _ENVIRONMENT_KEYS & values.keys()}
    installation = values.get("environment_suffix", "")
    for name, own in values["environments"].items():
        where = f"environments.{name}"
        if not _ENVIRONMENT.fullmatch(name) or name in _RESERVED:
            raise ConfigurationError(
                f"{where}: use at most 12 lower-case letters and digits, starting with a letter. Reserved names: "
                f"{', '.join(sorted(_RESERVED))}."
            )
        reject_unknown_keys(where, own, _STAGE_KEYS | _ENVIRONMENT_KEYS)
        yield StageConfig(
            name=name,
            approval=parse_value(f"{where}.approval", own.get("approval", False), bool),
            environment=EnvironmentConfig.from_mapping(
                {
                    **defaults,
                    **{key: value for key, value in own.items() if key not in _STAGE_KEYS},
                    "environment_suffix": f"{name}-{installation}" if installation else name,
                    "pipeline_account": values["account"],
                }
            ),
        )
