"""What an environment's deployment would change: `python -m pipeline.jobs.change_report --assembly cdk.out/...`.

Reads the deployed templates with the bootstrap's lookup role, which may look but not touch. Writes the whole report, a
summary for the approval, and where to read more. Ends with failure when a resource that holds data would be replaced or
removed, unless the commit's message says so in a trailer that names it:

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

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.jobs.changes.report import ChangeReport, StackReport
from pipeline.jobs.changes.resources import CreateOnly, Template

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_TRAILER = re.compile(r"^Replaces:\s*(?P<name>[\w-]+/\w+)\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack of the cloud assembly."""

    name: str
    region: str
    template: Template
    lookup_role: str
    order: tuple[str, ...]
    """Artifacts that are deployed before."""


def stacks_of(assembly: Path) -> list[Stack]:
    """The stacks of a stage's assembly, in the order of their deployment."""
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    found = dict(_stacks(assembly, manifest["artifacts"]))
    ordered: dict[str, Stack] = {}

    def visit(identifier: str) -> None:
        if identifier in found and identifier not in ordered:
            for earlier in found[identifier].order:
                visit(earlier)
            ordered[identifier] = found[identifier]

    for identifier in found:
        visit(identifier)
    return list(ordered.values())


def _stacks(assembly: Path, artifacts: Mapping[str, Any]) -> Iterator[tuple[str, Stack]]:
    for identifier, artifact in artifacts.items():
        if artifact["type"] != "aws:cloudformation:stack":
            continue
        properties = artifact["properties"]
        role = properties["lookupRole"]["arn"].replace("${AWS::Partition}", "aws")
        yield (
            identifier,
            Stack(
                name=properties["stackName"],
                region=artifact["environment"].rpartition("/")[2],
                template=json.loads((assembly / properties["templateFile"]).read_text(encoding="utf-8")),
                lookup_role=role,
                order=tuple(artifact.get("dependencies", ())),
            ),
        )


def deployed_template(client: "CloudFormationClient", stack: str) -> Template | None:
    """The template that a stack was deployed with; None when there is no such stack, or only a failed first try."""
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


def _reader(stack: Stack) -> "CloudFormationClient":
    granted = boto3.client("sts", region_name=stack.region).assume_role(
        RoleArn=stack.lookup_role, RoleSessionName="change-report", DurationSeconds=900
    )["Credentials"]
    return boto3.client(
        "cloudformation",
        region_name=stack.region,
        aws_access_key_id=granted["AccessKeyId"],
        aws_secret_access_key=granted["SecretAccessKey"],
        aws_session_token=granted["SessionToken"],
    )


def build_report(environment: str, assembly: Path, create_only: CreateOnly, message: str) -> ChangeReport:
    """Compare every stack of `assembly` with what is deployed; `message` is that of the commit."""
    stacks = [
        StackReport.compare(one.name, deployed_template(_reader(one), one.name), one.template, create_only)
        for one in stacks_of(assembly)
    ]
    permitted = frozenset(match["name"] for match in _TRAILER.finditer(message))
    return ChangeReport(environment=environment, stacks=stacks, permitted=permitted)


def build_url(environ: Mapping[str, str]) -> str:
    """Where the console shows this build and its log; empty outside CodeBuild."""
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
    """Write the report, the summary and the address below `--output`; answer the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.jobs.change_report", description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="name of the environment, for the reader")
    parser.add_argument("--assembly", type=Path, required=True, help="cloud assembly of the stage")
    parser.add_argument("--create-only", type=Path, required=True, help="JSON of create-only properties by type")
    parser.add_argument("--message", type=Path, required=True, help="file with the commit's message")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    create_only = json.loads(options.create_only.read_text(encoding="utf-8"))
    message = options.message.read_text(encoding="utf-8")
    try:
        report = build_report(options.environment, options.assembly, create_only, message)
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(
            f"Stopped: what is deployed in {options.environment} cannot be read: {error}. In another account the "
            "bootstrap must trust this one for look-ups (README, --trust-for-lookup).\n"
        )
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("report.txt", report.text()),
        ("summary.txt", report.summary()),
        ("url.txt", build_url(environ)),
    ):
        (options.output / name).write_text(text, encoding="utf-8")
    print(report.text(), flush=True)  # noqa: T201 - the build's log is where the approver reads it
    for change in report.unpermitted:
        sys.stderr.write(
            f"Stopped: {change.name} ({change.type}) would be {change.kind}, and what it holds would be lost. If that "
            f"is meant, say so in the commit's message: Replaces: {change.name}\n"
        )
    return 1 if report.unpermitted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
