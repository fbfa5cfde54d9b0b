"""One synthesis of the whole app, rule packs and all, for every test of a session."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aws_cdk import App

from kit.rule_packs import add_rule_packs
from pipeline.config import PipelineConfig, read_config
from pipeline.pipeline_stack import PipelineStack
from tests.pipeline.model import CONFIGURED, ELSEWHERE, PROJECT, TOOLING, VARIANTS, Synthesized

#: In place of the project's own, so that these tests hold whatever environments that one has.
CDK_JSON = Path(__file__).with_name("cdk.json")


def configure(overrides: Mapping[str, object], file: Path = CDK_JSON) -> PipelineConfig:
    """The configuration with `overrides` passed with `-c`."""
    context = {**json.loads(file.read_text())["context"], **overrides}
    return read_config(context, file=file, environ={"CDK_DEFAULT_ACCOUNT": TOOLING})


def synthesize(
    folder: Path, overrides: Mapping[str, object], *, rules: bool = False, validate: bool = True
) -> Synthesized:
    """Synthesize the app as `app.py` does; CDK's own validation takes longer than all the rest."""
    flags = {
        key: value for key, value in json.loads((PROJECT / "cdk.json").read_text())["context"].items() if "@" in key
    }
    app = App(
        context=flags,
        outdir=str(folder),
        analytics_reporting=False,
        builtin_cloud_formation_validation=validate,
    )
    PipelineStack(app, "PipelineStack", config=configure(overrides))
    if rules:
        add_rule_packs(app)
    app.synth()
    return Synthesized(folder=folder)


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """dev in the tooling account, prod in another account and region."""
    return synthesize(tmp_path_factory.mktemp("assembly"), {**CONFIGURED, **ELSEWHERE})


@pytest.fixture(scope="session")
def widest(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """Every variant: the pipeline, its replica, dev with its own domain, prod with canary in another region."""
    configured = {key: value for key, value in CONFIGURED.items() if key != "certificate_arn"}
    return synthesize(tmp_path_factory.mktemp("widest"), {**configured, **ELSEWHERE, **VARIANTS})
