"""The templates, synthesized and linted.

Synthesis itself fails on findings of cdk-nag's rule packs and of CDK's own validation; cfn-lint adds the resource
schemas, and which IAM actions exist and apply to which resources. Where `cdk.json` is not configured, as on a
developer's machine, placeholders stand for the connection, the accounts and the certificates.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.config import CONTEXT_OVERRIDES
from pipeline.gates import static
from pipeline.gates.findings import ASSEMBLY, GateError, fail

BOOTSTRAP = Path(__file__).parents[1] / "bootstrap"
_TOOLING, _PRODUCTION = "111111111111", "222222222222"
_CERTIFICATE = "arn:aws:acm:{}:{}:certificate/00000000-0000-0000-0000-000000000000"

#: dev in the tooling account, and prod in another account and region, so that cross-account resources are checked too.
PLACEHOLDERS: Mapping[str, object] = {
    "account": _TOOLING,
    "connection_arn": f"arn:aws:codeconnections:us-east-1:{_TOOLING}:connection/00000000-0000-4000-8000-000000000000",
    "repository": "owner/name",
    "alarm_email": "operators@example.com",
    "certificate_arn": _CERTIFICATE.format("us-east-1", _TOOLING),
    "environments.prod.account": _PRODUCTION,
    "environments.prod.region": "eu-west-1",
    "environments.prod.availability_zone_ids": ["euw1-az1", "euw1-az2", "euw1-az3"],
    "environments.prod.certificate_arn": _CERTIFICATE.format("eu-west-1", _PRODUCTION),
}


def overrides(environ: Mapping[str, str], file: Path = Path("cdk.json")) -> str:
    """Return the configuration to synthesize with, as JSON: what the pipeline passes on, or else placeholders."""
    given = environ.get(CONTEXT_OVERRIDES)
    if given:
        return given
    context = json.loads(file.read_text(encoding="utf-8"))["context"]
    return json.dumps({} if context.get("connection_arn") else dict(PLACEHOLDERS))


def synthesize(folder: Path, environ: Mapping[str, str]) -> None:
    """Run `cdk synth` into `folder`.

    Raises:
        GateError: synthesis failed; the message ends with its output.
    """
    finished = subprocess.run(
        ["cdk", "synth", "--quiet", "--output", str(folder)],
        env={**environ, CONTEXT_OVERRIDES: overrides(environ)},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise GateError(f"synthesis failed:\n{(finished.stdout + finished.stderr).strip()[-4_000:]}")


def add_bootstrap_policies(folder: Path, policies: Path = BOOTSTRAP) -> None:
    """Write the bootstrap's policies as one more template, so that what checks the templates checks them too.

    Raises:
        GateError: there is no policy.
    """
    resources = {
        re.sub(r"\W", "", file.stem): {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"PolicyDocument": json.loads(file.read_text(encoding="utf-8"))},
            "Metadata": {"aws:cdk:path": f"bootstrap/{file.stem}"},
        }
        for file in sorted(policies.glob("*.json"))
    }
    if not resources:
        raise GateError(f"{policies} contains no policies. `python -m pipeline.bootstrap` writes them.")
    template = json.dumps({"Resources": resources}, indent=1)
    (folder / "bootstrap.template.json").write_text(template, encoding="utf-8")


def check(folder: Path = ASSEMBLY, environ: Mapping[str, str] = os.environ) -> int:
    """Synthesize, lint and return the exit status."""
    try:
        synthesize(folder, environ)
        add_bootstrap_policies(folder)
    except GateError as error:
        return fail("templates", error)
    return static.check("cfn-lint", folder=str(folder))


if __name__ == "__main__":
    sys.exit(check())
