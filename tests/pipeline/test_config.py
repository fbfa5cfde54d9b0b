"""Configuration: three layers, environments that override defaults, and messages that say what to do."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import CONTEXT_OVERRIDES, PipelineConfig, read_config
from stages.config import ConfigurationError
from tests.pipeline.model import CONFIGURED, PRODUCTION, TOOLING

FILE: Mapping[str, Any] = {
    "environment_suffix": "",
    "branch": "main",
    "api_max_tasks": 6,
    "environments": {"dev": {}, "prod": {"approval": True, "api_max_tasks": 20}},
    "@aws-cdk/core:checkSecretUsage": True,
}
DEFAULT_ACCOUNT = {"CDK_DEFAULT_ACCOUNT": TOOLING}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cdk.json"
    path.write_text(json.dumps({"context": dict(FILE)}))
    return path


def read(
    file: Path, given: Mapping[str, Any] = CONFIGURED, environ: Mapping[str, str] = DEFAULT_ACCOUNT
) -> PipelineConfig:
    context = {**json.loads(file.read_text())["context"], "aws:cdk:enable-path-metadata": True, **given}
    return read_config(context, file=file, environ=environ)


def test_environments_take_defaults_and_override_them(file: Path) -> None:
    config = read(file)
    dev, prod = config.stages
    assert [(dev.stage_name, dev.approval), (prod.stage_name, prod.approval)] == [("Dev", False), ("Prod", True)]
    assert (dev.environment.capacity.api_max_tasks, prod.environment.capacity.api_max_tasks) == (6, 20)
    assert {one.environment.account for one in config.stages} == {config.account} == {TOOLING}
    assert {one.environment.region for one in config.stages} == {config.region} == {"us-east-1"}
    assert config.names.name("pipeline") == "pipeline-main"
    assert config.stack_name == "PipelineStack"


def test_a_third_environment_is_a_third_stage(file: Path) -> None:
    config = read(file, {**CONFIGURED, "environments": '{"dev": {}, "staging": {}, "prod": {"approval": "true"}}'})
    assert [(one.stage_name, one.approval) for one in config.stages] == [
        ("Dev", False),
        ("Staging", False),
        ("Prod", True),
    ]


def test_an_installation_names_everything_its_own(file: Path) -> None:
    config = read(file, {**CONFIGURED, "environment_suffix": "alice"})
    assert config.stack_name == "PipelineStack-alice"
    assert config.names.name("pipeline") == "pipeline-alice"
    assert [one.environment.environment_suffix for one in config.stages] == ["dev-alice", "prod-alice"]


def test_a_dotted_key_changes_one_environment(file: Path) -> None:
    arn = f"arn:aws:acm:us-east-1:{PRODUCTION}:certificate/00000000-0000-0000-0000-000000000000"
    config = read(
        file, {**CONFIGURED, "environments.prod.account": PRODUCTION, "environments.prod.certificate_arn": arn}
    )
    dev, prod = (one.environment for one in config.stages)
    assert (dev.account, prod.account, prod.certificate_arn) == (TOOLING, PRODUCTION, arn)
    assert (dev.pipeline_account, prod.pipeline_account) == (TOOLING, TOOLING)


def test_values_given_once_survive_self_mutation(file: Path) -> None:
    first = read(file, {**CONFIGURED, "environments.prod.api_max_tasks": "12"})
    handed_over = {CONTEXT_OVERRIDES: json.dumps(dict(first.overrides))}
    second = read(file, {}, handed_over)
    assert second == first
    third = read(file, {"branch": "release"}, {CONTEXT_OVERRIDES: json.dumps(dict(second.overrides))})
    assert (third.branch, third.repository) == ("release", first.repository)


def test_overrides_hold_only_what_the_file_does_not_say(file: Path) -> None:
    assert dict(read(file).overrides) == {**CONFIGURED, "account": TOOLING}


@pytest.mark.parametrize("key", ["connection_arn", "repository"])
def test_what_cannot_be_defaulted_is_asked_for(file: Path, key: str) -> None:
    given = {name: value for name, value in CONFIGURED.items() if name != key}
    with pytest.raises(ConfigurationError, match=f"{key} is missing.*-c {key}="):
        read(file, given)


def test_without_credentials_the_account_is_asked_for(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"account is missing.*-c account="):
        read(file, CONFIGURED, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"connection_arn": "arn:aws:s3:::bucket"}, "connection_arn.*Connections"),
        ({"repository": "name"}, "repository.*owner/name"),
        ({"branch": "two words"}, "branch"),
        ({"brnach": "main"}, "unknown key brnach"),
        ({"synth_compute_type": "small"}, "synth_compute_type: 'small'.*medium, large.*quota"),
        ({"environments": "{}"}, "environments: none"),
        ({"environments": "dev"}, "object of objects"),
        ({"environments": {"dev": 1}}, "object of objects"),
        ({"environments": {"assets": {}}}, "environments.assets"),
        ({"environments": {"Dev": {}}}, "environments.Dev"),
        ({"environments": {"main": {}}}, "environments.main"),
        ({"environments": {"dev": {"aproval": True}}}, "environments.dev: unknown key aproval"),
        ({"environments": {"dev": {"approval": "yes"}}}, "environments.dev.approval: 'yes'"),
        ({"environments.test.account": TOOLING}, "no environment test.*dev, prod"),
        ({"environments.dev": "{}"}, "dotted key"),
        ({"stages.dev.account": TOOLING}, "dotted key"),
        ({"environment_suffix": "much-too-long"}, "environment suffix"),
        ({"environment_suffix": "Alice"}, "environment suffix"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(file: Path, given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(file, {**CONFIGURED, **given})


def test_only_the_pipelines_suffix_may_be_what_is_wrong(file: Path) -> None:
    base = read(file)
    with pytest.raises(ConfigurationError, match="environment suffix"):
        PipelineConfig(**{**vars(base), "environment_suffix": "-"})


@pytest.mark.parametrize("text", ["[]", "{", "1"])
def test_broken_overrides_are_named(file: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=CONTEXT_OVERRIDES):
        read(file, CONFIGURED, {**DEFAULT_ACCOUNT, CONTEXT_OVERRIDES: text})


def test_whose_messages_reach_nobody_is_known(file: Path) -> None:
    assert read(file).unheard == ()
    silent = {key: value for key, value in CONFIGURED.items() if key != "alarm_email"}
    assert read(file, silent).unheard == ("the pipeline", "dev", "prod")
    one = {**silent, "environments.prod.alarm_email": "operators@example.com"}
    assert read(file, one).unheard == ("the pipeline", "dev")
