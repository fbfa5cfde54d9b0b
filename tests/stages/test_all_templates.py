"""What applies to every resource of every template: names, tags, encryption, and complete deletion."""

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stages.config.capacity import CapacityConfig
from stages.config.environment import EnvironmentConfig
from tests.stages.conftest import ENVIRONMENTS, synthesize
from tests.stages.model import PROJECT, Resource, Templates, create_only, name_property, schema, walk
from tests.stages.replacement import named, replaced_in_place

SUFFIXES = {name: str(values["environment_suffix"]) for name, values in ENVIRONMENTS.items()}
#: Maximum lengths of names that the schemas lack, from the services' documentation.
LIMITS = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 32,
    "AWS::ElasticLoadBalancingV2::TargetGroup": 32,
    "AWS::EC2::SecurityGroup": 255,
    "AWS::ECS::Cluster": 255,
    "AWS::ECS::Service": 255,
    "AWS::ECS::TaskDefinition": 255,
    "AWS::IAM::ManagedPolicy": 128,
    "AWS::Lambda::Function": 64,
    "AWS::RDS::DBClusterParameterGroup": 255,
    "AWS::RDS::DBSubnetGroup": 255,
    "AWS::WAFv2::WebACL": 128,
    "AWS::CloudWatch::Dashboard": 255,
}


@pytest.fixture(params=sorted(ENVIRONMENTS))
def suffixed(request: pytest.FixtureRequest, environments: dict[str, Templates]) -> tuple[str, Templates]:
    return SUFFIXES[request.param], environments[request.param]


def nameable(templates: Templates) -> list[tuple[Resource, str]]:
    return [(resource, name) for resource in templates.resources if (name := name_property(resource.type)) is not None]


def test_schemas_provide_the_nameable_types(dev: Templates) -> None:
    types = {resource.type for resource, _ in nameable(dev)}
    assert len(types) >= 20
    assert {"AWS::Logs::QueryDefinition", "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::KMS::Alias"} <= types


def test_everything_nameable_is_named_after_its_environment(suffixed: tuple[str, Templates]) -> None:
    suffix, templates = suffixed
    ending = re.compile(rf"-{re.escape(suffix)}(-\d{{12}}-us-east-1)?$")
    for resource, name in nameable(templates):
        assert name in resource.properties, f"{resource} leaves its {name} to CloudFormation"
        own = str(templates.resolve(resource.stack, resource[name]))
        dictated = own.startswith("/aws/")
        assert ending.search(own) or (dictated and f"-{suffix}" in own), f"{resource} is called {own}"


def test_names_fit_with_the_longest_suffix(environments: dict[str, Templates]) -> None:
    for resource, name in nameable(environments["Longest"]):
        limit = schema(resource.type)["properties"][name].get("maxLength") or LIMITS.get(resource.type)
        assert limit, f"add the maximum length of a {resource.type} to LIMITS"
        assert len(resource[name]) <= limit, f"{resource}: {resource[name]} has more than {limit} characters"


def test_network_parts_without_a_name_have_a_name_tag(suffixed: tuple[str, Templates]) -> None:
    for resource in suffixed[1].all("AWS::EC2:"):
        if "Tags" in schema(resource.type)["properties"]:
            assert "Name" in {tag["Key"] for tag in resource["Tags"]}, f"{resource} has no Name tag"


def test_everything_taggable_is_tagged(suffixed: tuple[str, Templates]) -> None:
    suffix, templates = suffixed
    for resource in templates.resources:
        if resource.type.startswith("Custom::") or "Tags" not in schema(resource.type)["properties"]:
            continue
        tags = resource.properties.get("Tags", [])
        found = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
        assert found.get("environment-suffix") == suffix, f"{resource} has no tag environment-suffix"
        assert found.get("project") == "payment-pipeline", f"{resource} has no tag project"


def test_two_installations_have_no_name_in_common(environments: dict[str, Templates]) -> None:
    def names(templates: Templates) -> set[str]:
        exports: set[str] = set()
        for template in templates.by_stack.values():
            exports |= {each["Export"]["Name"] for each in template.get("Outputs", {}).values() if "Export" in each}
        return {str(resource[name]) for resource, name in nameable(templates)} | exports | set(templates.by_stack)

    assert not names(environments["Dev"]) & names(environments["Longest"])


def test_nothing_is_retained(each: Templates) -> None:
    for resource in each.resources:
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            assert resource.body.get(policy, "Delete") == "Delete", f"{resource} has {policy} {resource.body[policy]}"
        for name in ("DeletionProtection", "DeletionProtectionEnabled", "EnableTerminationProtection"):
            assert not resource.properties.get(name), f"{resource} has {name}"


#: Types that CloudFormation snapshots by default, so that "Delete" must be explicit.
SNAPSHOTTED_BY_DEFAULT = ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance")


def test_snapshots_are_turned_off(each: Templates) -> None:
    for resource_type in SNAPSHOTTED_BY_DEFAULT:
        for resource in each.all(resource_type):
            assert resource.body.get("DeletionPolicy") == "Delete", f"{resource} would leave a snapshot"


def test_log_groups_are_encrypted_and_expire(each: Templates) -> None:
    key = each.one("AWS::KMS::Key")
    groups = each.all("AWS::Logs::LogGroup")
    assert len(groups) == 10
    for group in groups:
        assert each.resolve(group.stack, group["KmsKeyId"]) == f"{key.stack}/{key.logical_id}.Arn"
        assert group["RetentionInDays"] in (30, 365)


def test_everything_that_writes_logs_has_a_declared_group(each: Templates) -> None:
    groups = {group["LogGroupName"]: group for group in each.all("AWS::Logs::LogGroup")}
    wanted = {f"/aws/lambda/{function['FunctionName']}" for function in each.all("AWS::Lambda::Function")}
    wanted |= {
        f"/aws/ecs/containerinsights/{cluster['ClusterName']}/performance" for cluster in each.all("AWS::ECS::Cluster")
    }
    wanted |= {
        f"/aws/rds/cluster/{cluster['DBClusterIdentifier']}/{export}"
        for cluster in each.all("AWS::RDS::DBCluster")
        for export in cluster["EnableCloudwatchLogsExports"]
    }
    assert wanted <= set(groups)
    for task in each.all("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            options = container["LogConfiguration"]["Options"]
            assert options["awslogs-group"]["Ref"] in {group.logical_id for group in groups.values()}
            assert "awslogs-create-group" not in options


def test_functions_may_not_create_log_groups(each: Templates) -> None:
    assert "logs:CreateLogGroup" not in json.dumps([template["Resources"] for template in each.by_stack.values()])


def test_everything_at_rest_is_under_the_environments_key(each: Templates) -> None:
    key = each.one("AWS::KMS::Key")
    arn = f"{key.stack}/{key.logical_id}.Arn"
    keyed = {
        "AWS::RDS::DBCluster": "KmsKeyId",
        "AWS::RDS::DBInstance": "PerformanceInsightsKMSKeyId",
        "AWS::SecretsManager::Secret": "KmsKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
    }
    for resource_type, name in keyed.items():
        assert each.all(resource_type)
        for resource in each.all(resource_type):
            assert each.resolve(resource.stack, resource[name]) in (arn, arn.removesuffix(".Arn")), str(resource)


def test_the_key_rotates_and_goes_with_the_environment(each: Templates) -> None:
    key = each.one("AWS::KMS::Key")
    assert key["EnableKeyRotation"] is True
    assert key["PendingWindowInDays"] == 7, "the shortest that AWS offers"


def test_stacks_depend_one_way_by_strong_references(each: Templates) -> None:
    order = ["network", "database", "service", "monitoring"]
    position = {stack: order.index(stack.split("-")[1]) for stack in each.by_stack}
    for stack, template in each.by_stack.items():

        def check(value: Any, stack: str = stack) -> None:
            if not isinstance(value, dict):
                return
            assert "Fn::GetStackOutput" not in value, "a weak reference misses changes of what it refers to"
            if "Fn::ImportValue" in value:
                exporter = value["Fn::ImportValue"].partition(":")[0]
                assert position[exporter] < position[stack], f"{stack} imports from {exporter}"

        walk(template, check)


def test_synthesis_needs_no_lookup(environments: dict[str, Templates], assembly: Path) -> None:
    for manifest in assembly.rglob("manifest.json"):
        assert not json.loads(manifest.read_text()).get("missing"), f"{manifest} requires a look-up"


FROZEN = PROJECT / "tests" / "stages" / "frozen.json"


def test_no_named_resource_is_replaced_under_its_name(environments: dict[str, Templates]) -> None:
    """CloudFormation would reject that at deployment, hours after the merge.

    If it fails, add the changed property to the resource's name (as in `tg-https-8443-dev`) and update the file with
    `python -m tests.stages.refresh`.
    """
    frozen = json.loads(FROZEN.read_text())
    current = {name: named(templates) for name, templates in environments.items()}
    assert [problem for name in frozen for problem in replaced_in_place(frozen[name], current[name])] == []
    assert frozen == current, "names have changed: run python -m tests.stages.refresh"


CHANGES = {
    "certificate_arn": None,
    "domain_name": "api.payments.example",
    "hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "hosted_zone_name": "payments.example",
    "alarm_email": "alarms@payments.example",
    "processor": "stripe",
    "allow_live_keys": True,
    "deployment_strategy": "canary",
    "pipeline_account": "333333333333",
    "api_cpu": 1024,
    "api_memory_mib": 4096,
    "api_min_tasks": 3,
    "api_max_tasks": 20,
    "worker_cpu": 512,
    "worker_memory_mib": 1024,
    "worker_min_tasks": 2,
    "worker_max_tasks": 4,
    "requests_per_task_per_minute": 6_000,
    "database_min_acu": 1,
    "database_max_acu": 32,
    "backup_retention_days": 14,
    "log_retention_days": 90,
}


def test_no_configuration_change_replaces_a_named_resource(dev: Templates, tmp_path: Path) -> None:
    settable = {item.name for cls in (EnvironmentConfig, CapacityConfig) for item in dataclasses.fields(cls)}
    moved = {"environment_suffix", "account", "region", "availability_zone_ids"}  # would be another environment
    assert set(CHANGES) == settable - moved - {"capacity"}, "add new keys to CHANGES"
    synthesize({"Dev": {**ENVIRONMENTS["Dev"], **CHANGES}}, tmp_path)
    assert replaced_in_place(named(dev), named(Templates.of(tmp_path / "assembly-Dev"))) == []


def test_returning_from_canary_replaces_nothing(canary: Templates, tmp_path: Path) -> None:
    synthesize({"Canary": {**ENVIRONMENTS["Canary"], "deployment_strategy": "rolling"}}, tmp_path)
    assert replaced_in_place(named(canary), named(Templates.of(tmp_path / "assembly-Canary"))) == []


def test_every_create_only_property_is_guarded(dev: Templates) -> None:
    before = named(dev)
    changed = 0
    for resource, name in nameable(dev):
        for guarded in (create_only(resource.type) & set(resource.properties)) - {name}:
            if resource.type == "AWS::ECS::TaskDefinition":
                continue  # revisions of a family: replacing one under its name is how they work
            mutated = copy.deepcopy(dict(dev.by_stack))
            mutated[resource.stack]["Resources"][resource.logical_id]["Properties"][guarded] = "changed"
            problems = replaced_in_place(before, named(Templates(by_stack=mutated)))
            assert len(problems) == 1, f"{resource}: a change of {guarded} is not detected"
            assert guarded in problems[0]
            mutated[resource.stack]["Resources"][resource.logical_id]["Properties"][name] = "new-name-dev"
            assert not replaced_in_place(before, named(Templates(by_stack=mutated))), "a new name is the solution"
            changed += 1
    assert changed >= 15
