"""Templates specify no version that AWS changes or withdraws by itself, so nothing fails because of its age."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from stages.database.stack import MAJOR_VERSION
from tests.stages.model import Resource, Templates, schema
from tests.stages.pins import pinned_wrongly


def test_environments_pin_no_version_managed_by_aws(each: Templates) -> None:
    assert pinned_wrongly(each) == []


def test_the_pipeline_pins_no_version_managed_by_aws(whole_app: Path) -> None:
    assert pinned_wrongly(Templates.of(whole_app)) == []


def test_minor_database_versions_are_not_drift(dev: Templates) -> None:
    """CloudFormation compares the actual version with the template's after the schema's transform, as a pattern."""
    cluster = dev.one("AWS::RDS::DBCluster")
    transform = schema(cluster.type)["propertyTransform"]["/properties/EngineVersion"]
    assert transform == '$join([$string(EngineVersion), ".*"])'
    assert cluster["EngineVersion"] == MAJOR_VERSION
    for running in ("18.4", "18.11"):
        assert re.fullmatch(f"{cluster['EngineVersion']}.*", running)
    assert not re.fullmatch(f"{cluster['EngineVersion']}.*", "17.9")


def test_the_parameter_group_follows_the_major_version(dev: Templates) -> None:
    group = dev.one("AWS::RDS::DBClusterParameterGroup")
    assert group["Family"] == f"aurora-postgresql{MAJOR_VERSION}"
    assert f"-pg{MAJOR_VERSION}-" in group["DBClusterParameterGroupName"]


def _first(templates: Templates, kind: str) -> Resource:
    return templates.all(kind)[0]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("AWS::RDS::DBCluster", {"EngineVersion": "18.4"}),
        ("AWS::RDS::DBInstance", {"CACertificateIdentifier": "rds-ca-rsa2048-g1"}),
        ("AWS::ECS::Service", {"PlatformVersion": "1.4.0"}),
        ("AWS::WAFv2::WebACL", {"Rules": [{"Statement": {"ManagedRuleGroupStatement": {"Version": "Version_1.9"}}}]}),
        ("AWS::Lambda::Function", {"RuntimeManagementConfig": {"RuntimeVersionArn": "x"}, "Runtime": "python3.9"}),
    ],
)
def test_a_pinned_version_is_detected(dev: Templates, kind: str, change: dict[str, Any]) -> None:
    by_stack = copy.deepcopy(dict(dev.by_stack))
    planted = _first(dev, kind)
    by_stack[planted.stack]["Resources"][planted.logical_id]["Properties"].update(change)
    (found,) = pinned_wrongly(Templates(by_stack=by_stack))
    assert planted.logical_id in found
