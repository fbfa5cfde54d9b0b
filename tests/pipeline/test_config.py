"""Configuration has three layers, environments override defaults, and errors say what to do."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.configuration import ConfigurationError
from pipeline.config import CONTEXT_OVERRIDES, PipelineConfig, read_config
from tests.pipeline.model import CONFIGURED, PRODUCTION, PROJECT, TOOLING

FILE: Mapping[str, Any] = {
    "environment_suffix": "",
    "branch": "main",
    "api_max_tasks": 6,
    "environments": {"dev": {}, "prod": {"approval": True, "api_max_tasks": 14}},
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


def test_environments_inherit_defaults_and_override_them(file: Path) -> None:
    config = read(file)
    dev, prod = config.stages
    assert [(dev.stage_name, dev.approval), (prod.stage_name, prod.approval)] == [("Dev", False), ("Prod", True)]
    assert (dev.environment.capacity.api_max_tasks, prod.environment.capacity.api_max_tasks) == (6, 14)
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


def test_the_suffix_names_everything_of_an_installation(file: Path) -> None:
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
    environ = {CONTEXT_OVERRIDES: json.dumps(dict(first.overrides))}
    second = read(file, {}, environ)
    assert second == first
    third = read(file, {"branch": "release"}, {CONTEXT_OVERRIDES: json.dumps(dict(second.overrides))})
    assert (third.branch, third.repository) == ("release", first.repository)


def test_overrides_contain_only_what_differs_from_the_file(file: Path) -> None:
    assert dict(read(file).overrides) == {**CONFIGURED, "account": TOOLING}


@pytest.mark.parametrize("key", ["connection_arn", "repository", "certificate_arn"])
def test_a_missing_key_is_requested(file: Path, key: str) -> None:
    given = {name: value for name, value in CONFIGURED.items() if name != key}
    with pytest.raises(ConfigurationError, match=rf"(?s)One value is missing.*\n  {key}: .*-c {key}="):
        read(file, given)


def test_without_credentials_the_account_is_requested(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)One value is missing.*\n  account: .*-c account="):
        read(file, CONFIGURED, {})


def test_all_missing_values_are_named_at_once(file: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(file, {}, {})
    found = re.findall(r"^  ([a-z_.]+): .+\n      -c \1=\S.*\n      docs/deploy\.md#(\S+)$", str(raised.value), re.M)
    assert [key for key, _ in found] == ["account", "connection_arn", "repository", "certificate_arn"]
    assert "4 values are missing" in str(raised.value)
    headings = re.findall(r"^## (.+)$", (PROJECT / "docs" / "deploy.md").read_text(), re.M)
    assert {section for _, section in found} <= {
        re.sub(r"[^a-z0-9-]", "", each.lower().replace(" ", "-")) for each in headings
    }


def test_the_deployment_page_says_which_keys_one_environment_may_set(file: Path) -> None:
    text = (PROJECT / "docs" / "deploy.md").read_text()
    keys = re.findall(r"^\| (`.+) \| (.+) \|$", text.partition("| key | meaning |")[2].partition("\n\n")[0], re.M)
    documented = {key for names, _ in keys for key in re.findall(r"`(\w+)`", names)}
    exceptions = set(re.findall(r"`(\w+)`", keys[-1][1].partition(" except ")[2]))
    assert keys[-1][0] == "`environments`"
    assert len(documented) > 15

    def is_unknown(key: str) -> bool:
        with pytest.raises(ConfigurationError) as raised:  # no key takes an object
            read(file, {**CONFIGURED, "environments": {"dev": {key: {}}}})
        return "unknown key" in str(raised.value)

    assert {key for key in documented if is_unknown(key)} == exceptions | {"environments"}


def test_an_environment_without_a_certificate_is_named(file: Path) -> None:
    arn = CONFIGURED["certificate_arn"]
    given = {**CONFIGURED, "certificate_arn": "", "environments.dev.certificate_arn": arn}
    with pytest.raises(ConfigurationError, match=r"\n  environments\.prod\.certificate_arn: .* for prod"):
        read(file, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"connection_arn": "arn:aws:s3:::bucket"}, "connection_arn.*Connections"),
        ({"repository": "name"}, "repository.*owner/name"),
        ({"branch": "two words"}, "branch"),
        ({"brnach": "main"}, "unknown key brnach"),
        ({"synth_compute_type": "small"}, "synth_compute_type: 'small'.*medium or large.*quota"),
        ({"environments": "{}"}, "environments: empty"),
        ({"environments": "dev"}, "object of objects"),
        ({"environments": {"dev": 1}}, "object of objects"),
        ({"environments": {"assets": {}}}, "environments.assets"),
        ({"environments": {"Dev": {}}}, "environments.Dev"),
        ({"environments": {"main": {}}}, "environments.main"),
        ({"environments": {"dev": {"aproval": True}}}, "environments.dev: unknown key aproval"),
        ({"environments": {"dev": {"approval": "yes"}}}, "environments.dev.approval: 'yes'"),
        ({"environments.test.account": TOOLING}, "unknown environment test.*dev, prod"),
        ({"environments.dev": "{}"}, "dotted key"),
        ({"stages.dev.account": TOOLING}, "dotted key"),
        ({"environment_suffix": "much-too-long"}, "environment suffix"),
        ({"environment_suffix": "Alice"}, "environment suffix"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_value_is_rejected(file: Path, given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(file, {**CONFIGURED, **given})


def test_an_invalid_suffix_is_rejected(file: Path) -> None:
    base = read(file)
    with pytest.raises(ConfigurationError, match="environment suffix"):
        PipelineConfig(**{**vars(base), "environment_suffix": "-"})


@pytest.mark.parametrize("text", ["[]", "{", "1"])
def test_malformed_overrides_are_rejected(file: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=CONTEXT_OVERRIDES):
        read(file, CONFIGURED, {**DEFAULT_ACCOUNT, CONTEXT_OVERRIDES: text})


def test_missing_subscribers_are_known(file: Path) -> None:
    assert read(file).without_subscriber == ()
    silent = {key: value for key, value in CONFIGURED.items() if key != "alarm_email"}
    assert read(file, silent).without_subscriber == ("the pipeline", "dev", "prod")
    one = {**silent, "environments.prod.alarm_email": "operators@example.com"}
    assert read(file, one).without_subscriber == ("the pipeline", "dev")
