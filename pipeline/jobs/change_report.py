"""Reports what a deployment would change: `python -m pipeline.jobs.change_report --assembly cdk.out/...`.

Reads the deployed templates with the bootstrap's lookup role, which is read-only. Writes the full report, a summary for
the approval, and the URL of the report. Fails if a resource that holds data would be replaced or removed, unless a
trailer of the commit message permits it by name:

    Replaces: payment-database-prod/AuroraCluster23D869C0
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.jobs.changes.report import ChangeReport, StackReport
from pipeline.jobs.changes.resources import CreateOnly, Template
from pipeline.jobs.credentials import assume_role

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_TRAILER = re.compile(r"^Replaces:\s*(?P<name>[\w-]+/\w+)\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class StackArtifact:
    """A stack of the cloud assembly."""

    name: str
    region: str
    template: Template
    lookup_role: str
    #: Ids of the artifacts that are deployed before.
    dependencies: tuple[str, ...]


def stacks_of(assembly: Path) -> list[StackArtifact]:
    """Return the stacks of a stage's cloud assembly, in the order of their deployment."""
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    found = dict(_stacks(assembly, manifest["artifacts"]))
    ordered: dict[str, StackArtifact] = {}

    def visit(identifier: str) -> None:
        if identifier in found and identifier not in ordered:
            for earlier in found[identifier].dependencies:
                visit(earlier)
            ordered[identifier] = found[identifier]

    for identifier in found:
        visit(identifier)
    return list(ordered.values())


def _stacks(assembly: Path, artifacts: Mapping[str, Any]) -> Iterator[tuple[str, StackArtifact]]:
    for identifier, artifact in artifacts.items():
        if artifact["type"] != "aws:cloudformation:stack":
            continue
        properties = artifact["properties"]
        role = properties["lookupRole"]["arn"].replace("${AWS::Partition}", "aws")
        yield (
            identifier,
            StackArtifact(
                name=properties["stackName"],
                region=artifact["environment"].rpartition("/")[2],
                template=json.loads((assembly / properties["templateFile"]).read_text(encoding="utf-8")),
                lookup_role=role,
                dependencies=tuple(artifact.get("dependencies", ())),
            ),
        )


def deployed_template(client: "CloudFormationClient", stack: str) -> Template | None:
    """Return the template that a stack was deployed with; None if it does not exist or its creation failed."""
    try:
        status = client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        if status in ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"):
            return None
        body: Any = client.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    template: Template = json.loads(body) if isinstance(body, str) else body
    return template


def build_report(environment: str, assembly: Path, create_only: CreateOnly, message: str) -> ChangeReport:
    """Compare every stack of `assembly` with the deployed one; `message` is the commit message."""
    stacks = [_compare(stack, create_only) for stack in stacks_of(assembly)]
    permitted = frozenset(match["name"] for match in _TRAILER.finditer(message))
    return ChangeReport(environment=environment, stacks=stacks, permitted=permitted)


def _compare(stack: StackArtifact, create_only: CreateOnly) -> StackReport:
    session = assume_role(stack.lookup_role, region=stack.region, session_name="change-report")
    deployed = deployed_template(session.client("cloudformation"), stack.name)
    return StackReport.compare(stack.name, deployed, stack.template, create_only)


def build_url(environ: Mapping[str, str]) -> str:
    """Return the console's URL of this build; empty outside CodeBuild."""
    arn = environ.get("CODEBUILD_BUILD_ARN", "")
    if arn.count(":") < 5:
        return ""
    region, account = arn.split(":")[3:5]
    build = environ.get("CODEBUILD_BUILD_ID", "")
    return (
        f"https://{region}.console.aws.amazon.com/codesuite/codebuild/{account}/projects/"
        f"{build.partition(':')[0]}/build/{build.replace(':', '%3A')}"
    )


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Write report, summary and URL to `--output` and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.jobs.change_report", description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="name of the environment, as shown in the report")
    parser.add_argument("--assembly", type=Path, required=True, help="cloud assembly of the stage")
    parser.add_argument("--create-only", type=Path, required=True, help="JSON of create-only properties by type")
    parser.add_argument("--message", type=Path, required=True, help="file with the commit message")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    create_only = json.loads(options.create_only.read_text(encoding="utf-8"))
    message = options.message.read_text(encoding="utf-8")
    try:
        report = build_report(options.environment, options.assembly, create_only, message)
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(
            f"Stopped: the deployed stacks of {options.environment} cannot be read: {error}. Another account must be "
            "bootstrapped with --trust-for-lookup for this one (README).\n"
        )
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("report.txt", report.text()),
        ("summary.txt", report.summary()),
        ("url.txt", build_url(environ)),
    ):
        (options.output / name).write_text(text, encoding="utf-8")
    print(report.text(), flush=True)  # noqa: T201 - the approver reads it in the build's log
    for change in report.unpermitted:
        sys.stderr.write(
            f"Stopped: {change.name} ({change.type}) would be {change.kind} and its data lost. If that is intended, "
            f"add a line to the commit message: Replaces: {change.name}\n"
        )
    return 1 if report.unpermitted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
