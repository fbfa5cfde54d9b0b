"""The first stage of the app, deployed to the emulated account: the same stacks, image and containers."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from local.example import read_smoke_key
from rehearsal.runner.emulated_account import EmulatedAccount, SetupError
from rehearsal.runner.project import Project
from rehearsal.runner.rehearsal import bootstrap


@dataclass(frozen=True, kw_only=True)
class DeployedApi:
    """The API of a deployed stage."""

    url: str
    ca_file: Path
    api_key: str = field(repr=False)


def deploy_first_stage(account: EmulatedAccount) -> DeployedApi:
    """Open the account, bootstrap it, and deploy what the pipeline would deploy first.

    Raises:
        SetupError: A command failed, or no stack has a URL.

    """
    workspace = account.workspace
    project = Project.read(workspace.checkout)
    log = workspace.logs / "soak.log"
    log.touch()
    account.open(log)
    bootstrap(account, account.create_execution_policies([]), log=log)
    assembly = workspace.rehearsal / "assembly"
    context = project.context_arguments(certificate_arn=account.import_certificate())
    synth = ["cdk", "synth", "--quiet", "--output", str(assembly), *context]
    account.run_command(synth, folder=workspace.checkout, log=log)
    options = ["--ci", "--require-approval", "never"]
    deploy = ["cdk", "deploy", "--app", str(assembly), f"{_first_stage(assembly)}/*", *options]
    account.run_command(deploy, folder=workspace.checkout, log=log)
    return find_api(account)


def find_api(account: EmulatedAccount) -> DeployedApi:
    """Return the first API that the account serves.

    Raises:
        SetupError: No stack has a URL.

    """
    stacks = account.served_stacks()
    if not stacks:
        raise SetupError("no stack has a URL", log=account.workspace.logs / "soak.log")
    key = read_smoke_key(account.session.client("secretsmanager"), stacks[0].outputs["SmokeKeySecretArn"])
    return DeployedApi(url=stacks[0].url, ca_file=account.runtime.ca_file, api_key=key)


def _first_stage(assembly: Path) -> str:
    """Return the display name of the first nested assembly, such as `PipelineStack/Dev`."""
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    for artifact in manifest["artifacts"].values():
        if artifact["type"] == "cdk:cloud-assembly":
            return str(artifact["properties"]["displayName"])
    raise SetupError(f"{assembly} has no stage")
