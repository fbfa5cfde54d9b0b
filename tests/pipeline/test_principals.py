"""KMS, S3, SNS and IAM reject a policy that names a role which does not exist yet ("invalid principal")."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.pipeline.model import PRODUCTION, TOOLING, Synthesized, Template, resolve

#: Roles that `cdk bootstrap` creates before anything is deployed, in every configured account and region.
_BOOTSTRAPPED = re.compile(
    r"arn:aws:iam::(?P<account>\d{12}):role/cdk-hnb659fds-[a-z-]+-role-(?P=account)-(?P<region>[a-z0-9-]+)"
)
_LOCATIONS = {(TOOLING, "us-east-1"), (TOOLING, "eu-west-1"), (PRODUCTION, "eu-west-1")}
_ROLE = re.compile(r"arn:aws:(iam|sts)::\d{12}:(role|user|assumed-role)/.+")
_REFERENCE = re.compile(r"\$\{(?P<logical_id>\w+)\.Arn\}")


def in_order_of_deployment(synthesized: Synthesized) -> list[tuple[str, str, Template]]:
    """Every template with its account: dependencies of PipelineStack, PipelineStack, and each environment."""
    found: list[tuple[str, str, Template]] = []

    def add(folder: Path, name: str) -> None:
        artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
        artifact = artifacts[name]
        for dependency in artifact.get("dependencies", ()):
            add(folder, dependency)
        if artifact["type"] == "aws:cloudformation:stack" and name not in [known for known, _, _ in found]:
            account = artifact["environment"].split("/")[2]
            found.append((name, account, Template.read(folder / artifact["properties"]["templateFile"])))

    add(synthesized.folder, "PipelineStack")
    for stage in ("Dev", "Prod"):
        folder = synthesized.folder / f"assembly-PipelineStack-{stage}"
        for name in json.loads((folder / "manifest.json").read_text())["artifacts"]:
            add(folder, name)
    return found


def principals(value: object) -> Iterator[str]:
    """Every principal in the policies inside `value`."""
    if isinstance(value, dict):
        named = value.get("Principal", {}) if "Effect" in value else {}
        for one in named.values() if isinstance(named, dict) else ():
            yield from one if isinstance(one, list) else [one]
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from principals(item)


def unknown(templates: list[tuple[str, str, Template]]) -> list[tuple[str, str]]:
    """Roles that a policy names before they exist."""
    made: set[str] = set()
    found = []
    for name, account, template in templates:
        own = template.all("AWS::IAM::Role")
        for logical_id, resource in template.body["Resources"].items():
            for principal in principals(resolve(resource.get("Properties", {}))):
                reference = _REFERENCE.fullmatch(principal)
                bootstrapped = _BOOTSTRAPPED.fullmatch(principal)
                if reference:
                    there = reference["logical_id"] in own  # CloudFormation creates what is referred to first
                elif bootstrapped:
                    there = (bootstrapped["account"], bootstrapped["region"]) in _LOCATIONS
                else:
                    there = not _ROLE.fullmatch(principal) or principal in made
                if not there:
                    found.append((f"{name}/{logical_id}", principal))
        made |= {f"arn:aws:iam::{account}:role/{resolve(role['Properties']['RoleName'])}" for role in own.values()}
    return found


def test_no_policy_names_a_role_before_it_exists(widest: Synthesized) -> None:
    templates = in_order_of_deployment(widest)
    assert [name for name, _, _ in templates[:2]] == ["PipelineStack-eu-west-1", "PipelineStack"]
    assert len(templates) == len(widest.templates)
    assert unknown(templates) == []


def test_a_role_of_a_later_stack_is_detected(widest: Synthesized) -> None:
    replica, pipeline, *_ = in_order_of_deployment(widest)
    role = f"arn:aws:iam::{TOOLING}:role/role-pipeline-pipeline-main"
    statement = {"Effect": "Allow", "Principal": {"AWS": role}, "Action": "s3:GetObject", "Resource": "*"}
    policy = {"Type": "AWS::S3::BucketPolicy", "Properties": {"PolicyDocument": {"Statement": [statement]}}}
    broken = Template(body={"Resources": {"Broken": policy}})
    assert unknown([(replica[0], replica[1], broken), pipeline]) == [("PipelineStack-eu-west-1/Broken", role)]
    assert unknown([pipeline, (replica[0], replica[1], broken)]) == []


def test_the_replica_names_deploy_roles_and_the_account(widest: Synthesized) -> None:
    replica = widest.templates["PipelineStack-eu-west-1.template.json"]
    deploy = f"arn:aws:iam::{PRODUCTION}:role/cdk-hnb659fds-deploy-role-{PRODUCTION}-eu-west-1"
    statements = {
        statement["Sid"]: statement
        for kind, held in (("AWS::KMS::Key", "KeyPolicy"), ("AWS::S3::BucketPolicy", "PolicyDocument"))
        for statement in resolve(replica.one(kind)[held])["Statement"]
        if "Sid" in statement
    }
    assert statements["DeployRolesUseKey"]["Principal"] == {"AWS": deploy}
    assert statements["DeployRolesUseKey"]["Action"] == ["kms:Decrypt", "kms:DescribeKey"]
    assert statements["DeployRolesFindArtifacts"]["Principal"] == {"AWS": deploy}
    assert statements["DeployRolesReadArtifacts"]["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
    assert statements["UseByPolicy"]["Principal"] == {"AWS": f"arn:aws:iam::{TOOLING}:root"}


def test_a_region_can_be_added_by_a_push(widest: Synthesized) -> None:
    """Self-mutation then deploys to a region that was unknown when its own role was deployed."""
    (statement,) = [
        one
        for one in widest.stack.policy("policy-pipeline-self-mutation-main").values()
        if one["Action"] == "sts:AssumeRole"
    ]
    assert statement["Resource"] == [
        f"arn:aws:iam::{TOOLING}:role/cdk-hnb659fds-{kind}-role-{TOOLING}-*"
        for kind in ("deploy", "file-publishing", "lookup")
    ]
