"""The first stage of the synthesized app, deployed to the emulated account: the same stacks, image and containers."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.account import Account, SetupError
from rehearsal.emulator.client import ACCOUNT_ID, REGION

_CONNECTION = f"arn:aws:codeconnections:{REGION}:{ACCOUNT_ID}:connection/00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """The API of a deployed stage."""

    url: str
    ca_file: Path
    api_key: str = field(repr=False)


def deploy_first_stage(account: Account) -> Deployed:
    """Open the account, bootstrap it, and deploy what the pipeline would deploy first.

    Raises:
        SetupError: a command failed, or the app has no stage with an API.
    """
    workspace = account.workspace
    log = workspace.logs / "soak.log"
    log.touch()
    account.open(log)
    cdk = str(workspace.checkout / "node_modules" / ".bin" / "cdk")
    account.run_tool([cdk, "bootstrap", f"aws://{ACCOUNT_ID}/{REGION}", "--ci"], folder=workspace.home, log=log)
    assembly = workspace.rehearsal / "assembly"
    context = {
        "connection_arn": _CONNECTION,
        "repository": "local/soak",
        "certificate_arn": account.import_certificate(),
        "alarm_email": "operators@example.com",
    }
    arguments = [word for name, value in context.items() for word in ("--context", f"{name}={value}")]
    account.run_tool(
        [cdk, "synth", "--quiet", "--output", str(assembly), *arguments], folder=workspace.checkout, log=log
    )
    account.run_tool(
        [cdk, "deploy", "--app", str(assembly), f"{_first_stage(assembly)}/*", "--ci", "--require-approval", "never"],
        folder=workspace.checkout,
        log=log,
    )
    return find(account)


def find(account: Account) -> Deployed:
    """The first API that the account serves.

    Raises:
        SetupError: no stack has one.
    """
    endpoints = list(account.endpoints().values())
    if not endpoints:
        raise SetupError("no stack has the output ApiUrl", log=account.workspace.logs / "soak.log")
    outputs = endpoints[0]
    secret = outputs["SmokeKeySecretArn"]
    return Deployed(
        url=outputs["ApiUrl"],
        ca_file=account.runtime.ca_file,
        api_key=f"sk_test_{account.secret(f'{secret}:id')}_{account.secret(f'{secret}:secret')}",
    )


def _first_stage(assembly: Path) -> str:
    """The display name of the first nested assembly, such as `PipelineStack/Dev`."""
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    for artifact in manifest["artifacts"].values():
        if artifact["type"] == "cdk:cloud-assembly":
            return str(artifact["properties"]["displayName"])
    raise SetupError(f"{assembly} holds no stage")
