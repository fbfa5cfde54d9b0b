"""One synthesis for all tests of a session: jsii needs seconds to start."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from aws_cdk import App

from stages.config.environment import EnvironmentConfig
from stages.payment_stage import PaymentStage
from tests.stages.model import PROJECT, Templates

TOOLING, OTHER = "111111111111", "222222222222"
CERTIFICATE = f"arn:aws:acm:us-east-1:{TOOLING}:certificate/00000000-0000-0000-0000-000000000000"

#: The minimal configuration; another account with its own domain; the longest suffix; canary deployments, also with the
#: longest suffix.
ENVIRONMENTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "Dev": {"environment_suffix": "dev", "account": TOOLING, "certificate_arn": CERTIFICATE},
        "Prod": {
            "environment_suffix": "prod",
            "account": OTHER,
            "pipeline_account": TOOLING,
            "domain_name": "api.payments.example",
            "hosted_zone_id": "Z0123456789ABCDEFGHIJ",
            "hosted_zone_name": "payments.example",
            "alarm_email": "alarms@payments.example",
            "processor": "stripe",
            "allow_live_keys": True,
            "api_cpu": 1024,
            "api_memory_mib": 2048,
            "database_min_acu": 1,
            "database_max_acu": 16,
            "log_retention_days": 365,
        },
        "Longest": {"environment_suffix": "prod-alice12", "account": TOOLING, "certificate_arn": CERTIFICATE},
        "Canary": {
            "environment_suffix": "canary-alice",
            "account": TOOLING,
            "certificate_arn": CERTIFICATE,
            "deployment_strategy": "canary",
        },
    }
)


#: What the whole app needs besides cdk.json. Findings are shown, so that tests see what each reason covers; one
#: environment has canary deployments, to include their findings.
CONTEXT = {
    "environments": {"dev": {}, "prod": {"approval": True, "deployment_strategy": "canary"}},
    "account": TOOLING,
    "connection_arn": f"arn:aws:codeconnections:us-east-1:{TOOLING}:connection/00000000-0000-0000-0000-000000000000",
    "repository": "owner/name",
    "certificate_arn": CERTIFICATE,
    "alarm_email": "alarms@payments.example",
    "show-all-findings": "true",
}


def flags() -> dict[str, object]:
    """The feature flags of the app, which affect what constructs synthesize."""
    context = json.loads((PROJECT / "cdk.json").read_text())["context"]
    return {name: value for name, value in context.items() if name.startswith("@aws-cdk")}


def synthesize(environments: Mapping[str, Mapping[str, object]], outdir: Path, *, validate: bool = True) -> None:
    """Synthesize a stage for each configuration; CDK's own validation takes longer than all the rest."""
    app = App(
        context=flags(),
        outdir=str(outdir),
        analytics_reporting=False,
        builtin_cloud_formation_validation=validate,
    )
    for name, values in environments.items():
        PaymentStage(app, name, config=EnvironmentConfig.from_mapping(values))
    app.synth()


def read(environments: Iterable[str], outdir: Path) -> dict[str, Templates]:
    """The templates of synthesized stages."""
    return {name: Templates.of(outdir / f"assembly-{name}") for name in environments}


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder to which `environments` are synthesized."""
    folder = tmp_path_factory.mktemp("environments")
    synthesize(ENVIRONMENTS, folder)
    return folder


@pytest.fixture(scope="session")
def environments(assembly: Path) -> dict[str, Templates]:
    """The templates of all environments."""
    return read(ENVIRONMENTS, assembly)


@pytest.fixture(scope="session")
def dev(environments: dict[str, Templates]) -> Templates:
    return environments["Dev"]


@pytest.fixture(scope="session")
def prod(environments: dict[str, Templates]) -> Templates:
    return environments["Prod"]


@pytest.fixture(scope="session")
def canary(environments: dict[str, Templates]) -> Templates:
    return environments["Canary"]


@pytest.fixture(scope="session", params=sorted(ENVIRONMENTS))
def each(request: pytest.FixtureRequest, environments: dict[str, Templates]) -> Templates:
    """Each environment in turn."""
    return environments[request.param]


@pytest.fixture(scope="session")
def whole_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole app with every finding shown, accepted or not."""
    folder = tmp_path_factory.mktemp("app")
    synthesize_app(folder)
    return folder


def synthesize_app(outdir: Path) -> None:
    """Run `app.py` as the CDK CLI does."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "CONTEXT_"))
    }
    context = json.loads((PROJECT / "cdk.json").read_text())["context"] | CONTEXT
    environment |= {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps(context)}
    process = subprocess.run(
        [sys.executable, "app.py"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode != 0, "findings must fail synthesis"
    assert "ValidationFailed" in process.stderr, process.stderr[-8000:]
