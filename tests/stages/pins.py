"""Versions in templates: which AWS changes or withdraws by itself, and what a template may therefore say."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.stages.model import Templates

#: Properties that choose a version of something that is AWS's, wherever they stand.
_CHOOSING = re.compile(
    r".*Version|Version|Runtime|.*Runtime|Image|SslPolicy|.*CertificateIdentifier|CACertificate.*|Family|ComputeType"
)
#: What the template may say, by type and property, and why that can neither drift nor fail for age alone.
ALLOWED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("AWS::RDS::DBCluster", "EngineVersion"): (r"\d+", "minor versions are RDS's: upgraded by itself, withdrawn"),
    ("AWS::RDS::DBClusterParameterGroup", "Family"): (r"aurora-postgresql\d+", "of the major version, which we choose"),
    ("AWS::ECS::Service", "PlatformVersion"): (r"LATEST", "Fargate patches and retires platform versions"),
    ("AWS::ECS::TaskDefinition", "Family"): (r"ecs-task-.*", "a name of ours"),
    ("AWS::Lambda::Function", "Runtime"): (r"python3\.1[3-9]", "years of notice; patched below the same name"),
    ("AWS::CodeBuild::Project", "Environment.Image"): (
        r"aws/codebuild/amazonlinux-x86_64-standard:\d+\.0",
        "patched below the same name; deprecated images are slower to start, and still start",
    ),
    ("AWS::CodeBuild::Project", "Environment.ComputeType"): (r"BUILD_GENERAL1_[A-Z]+", "a size of ours"),
    ("AWS::CodePipeline::Pipeline", "Stages.Actions.ActionTypeId.Version"): (r"1", "the only one"),
    ("AWS::ElasticLoadBalancingV2::Listener", "SslPolicy"): (
        r"ELBSecurityPolicy-TLS13-1-2-.*",
        "a fixed name for fixed ciphers, none of which was ever withdrawn",
    ),
}
#: The language of policies, not a version of a service.
_POLICY_LANGUAGE = "2012-10-17"


def pinned_wrongly(templates: Templates) -> list[str]:
    """Every version that a template should not choose, in words; empty when there is none."""
    found = []
    for resource in templates.resources:
        for path, value in _leaves(resource.properties):
            name = path.rpartition(".")[2]
            if not _CHOOSING.fullmatch(name) or value == _POLICY_LANGUAGE or not isinstance(value, str | int | float):
                continue
            allowed = ALLOWED.get((resource.type, path))
            if allowed is None:
                found.append(
                    f"{resource}: {path}={value}: say in ALLOWED whether AWS changes or withdraws it by itself"
                )
            elif not re.fullmatch(allowed[0], str(value)):
                found.append(f"{resource}: {path}={value}, want {allowed[0]}: {allowed[1]}")
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value
