"""Versions in templates: which ones AWS changes or withdraws by itself, and what templates may therefore specify."""

import re
from collections.abc import Iterator, Mapping

from tests.stages.model import Templates

#: Properties that select a version of something that AWS manages.
_SELECTORS = re.compile(
    r".*Version|Version|Runtime|.*Runtime|Image|SslPolicy|.*CertificateIdentifier|CACertificate.*|Family|ComputeType"
)
#: What templates may specify, by type and property, and why that can neither drift nor fail because of its age.
ALLOWED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("AWS::RDS::DBCluster", "EngineVersion"): (r"\d+", "RDS upgrades and withdraws minor versions"),
    ("AWS::RDS::DBClusterParameterGroup", "Family"): (
        r"aurora-postgresql\d+",
        "follows the major version, which we choose",
    ),
    ("AWS::ECS::Service", "PlatformVersion"): (r"LATEST", "Fargate patches and retires platform versions"),
    ("AWS::ECS::TaskDefinition", "Family"): (r"ecs-task-.*", "our own name"),
    ("AWS::Lambda::Function", "Runtime"): (r"python3\.1[3-9]", "years of notice; patched under the same name"),
    ("AWS::CodeBuild::Project", "Environment.Image"): (
        r"aws/codebuild/amazonlinux-x86_64-standard:\d+\.0",
        "patched under the same name; deprecated images are slower to start, and still start",
    ),
    ("AWS::CodeBuild::Project", "Environment.ComputeType"): (r"BUILD_GENERAL1_[A-Z]+", "a size, not a version"),
    ("AWS::CodePipeline::Pipeline", "Stages.Actions.ActionTypeId.Version"): (r"1", "the only one"),
    ("AWS::ElasticLoadBalancingV2::Listener", "SslPolicy"): (
        r"ELBSecurityPolicy-TLS13-1-2-.*",
        "a fixed name for fixed ciphers, none of which was ever withdrawn",
    ),
}
#: The language of policies, not a version of a service.
_POLICY_LANGUAGE = "2012-10-17"


def pinned_wrongly(templates: Templates) -> list[str]:
    """Versions that templates should not specify, as messages."""
    found = []
    for resource in templates.resources:
        for path, value in _leaves(resource.properties):
            name = path.rpartition(".")[2]
            if not _SELECTORS.fullmatch(name) or value == _POLICY_LANGUAGE or not isinstance(value, str | int | float):
                continue
            allowed = ALLOWED.get((resource.type, path))
            if allowed is None:
                found.append(f"{resource}: {path}={value}: state in ALLOWED whether AWS changes or withdraws it")
            elif not re.fullmatch(allowed[0], str(value)):
                found.append(f"{resource}: {path}={value}, must be {allowed[0]}: {allowed[1]}")
    return found


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value
