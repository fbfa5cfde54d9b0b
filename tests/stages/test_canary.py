"""Canary deployments try a release on part of the requests, roll it back by alarm, and are off by default."""

from typing import Any

import pytest

from stages.config.capacity import CapacityConfig
from stages.service.canary import CANARY_MINUTES
from tests.stages.model import PROJECT, Resource, Templates

STACK = "payment-service-canary-alice"


def service(templates: Templates, kind: str) -> Resource:
    (found,) = (each for each in templates.all("AWS::ECS::Service") if f"-{kind}-" in each["ServiceName"])
    return found


def listener(templates: Templates, port: int) -> Resource:
    return templates.one("AWS::ElasticLoadBalancingV2::Listener", Port=port)


def rule_of(templates: Templates, port: int) -> Resource:
    return templates.one(
        "AWS::ElasticLoadBalancingV2::ListenerRule", ListenerArn={"Ref": listener(templates, port).logical_id}
    )


def target_groups(templates: Templates) -> dict[str, str]:
    """Name to logical id."""
    return {str(each["Name"]): each.logical_id for each in templates.all("AWS::ElasticLoadBalancingV2::TargetGroup")}


@pytest.fixture
def deployment(canary: Templates) -> dict[str, Any]:
    return dict(service(canary, "api")["DeploymentConfiguration"])


def test_canary_is_off_by_default(environments: dict[str, Templates]) -> None:
    for name in ("Dev", "Prod", "Longest"):
        templates = environments[name]
        deployment = service(templates, "api")["DeploymentConfiguration"]
        assert not {"Strategy", "CanaryConfiguration", "BakeTimeInMinutes"} & set(deployment)
        assert "AdvancedConfiguration" not in service(templates, "api")["LoadBalancers"][0]
        assert not templates.all("AWS::ElasticLoadBalancingV2::ListenerRule")
        assert len(target_groups(templates)) == 1
        assert len(templates.all("AWS::ElasticLoadBalancingV2::Listener")) == 2


def test_a_release_gets_ten_percent_then_all_requests(deployment: dict[str, Any]) -> None:
    assert deployment["Strategy"] == "CANARY"
    assert deployment["CanaryConfiguration"] == {"CanaryPercent": 10, "CanaryBakeTimeInMinutes": 10}
    assert deployment["BakeTimeInMinutes"] == 10


def test_alarms_go_off_within_the_canary_phase(canary: Templates, deployment: dict[str, Any]) -> None:
    alarms = deployment["Alarms"]
    assert alarms["Enable"] is alarms["Rollback"] is True
    for name in alarms["AlarmNames"]:
        alarm = canary.one("AWS::CloudWatch::Alarm", AlarmName=name)
        assert alarm["EvaluationPeriods"] < CANARY_MINUTES, "periods are minutes"
    assert len(alarms["AlarmNames"]) == 2


def test_two_target_groups_take_turns(canary: Templates) -> None:
    groups = target_groups(canary)
    assert set(groups) == {"tg-https-8443-canary-alice", "tg-https-8443-alt-canary-alice"}
    (balanced,) = service(canary, "api")["LoadBalancers"]
    assert balanced["TargetGroupArn"] == {"Ref": groups["tg-https-8443-canary-alice"]}
    advanced = balanced["AdvancedConfiguration"]
    assert advanced["AlternateTargetGroupArn"] == {"Ref": groups["tg-https-8443-alt-canary-alice"]}
    assert advanced["ProductionListenerRule"] == {"Ref": rule_of(canary, 443).logical_id}
    assert advanced["TestListenerRule"] == {"Ref": rule_of(canary, 9443).logical_id}
    role = canary.one("AWS::IAM::Role", RoleName="role-api-traffic-canary-alice")
    assert advanced["RoleArn"] == {"Fn::GetAtt": [role.logical_id, "Arn"]}


@pytest.mark.parametrize("port", [443, 9443])
def test_rules_match_every_path_and_start_with_the_primary(canary: Templates, port: int) -> None:
    rule, groups = rule_of(canary, port), target_groups(canary)
    assert rule["Conditions"] == [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}]
    (action,) = rule["Actions"]
    assert [(each["TargetGroupArn"]["Ref"], each["Weight"]) for each in action["ForwardConfig"]["TargetGroups"]] == [
        (groups["tg-https-8443-canary-alice"], 100),
        (groups["tg-https-8443-alt-canary-alice"], 0),
    ]


def test_the_test_listener_is_configured_like_production(canary: Templates) -> None:
    test, production = listener(canary, 9443), listener(canary, 443)
    for name in ("Protocol", "SslPolicy", "Certificates", "ListenerAttributes", "LoadBalancerArn"):
        assert test[name] == production[name]


def test_ecs_can_shift_requests_at_the_first_deployment(canary: Templates) -> None:
    policy = canary.one("AWS::IAM::ManagedPolicy", ManagedPolicyName="policy-api-traffic-canary-alice")
    assert policy.logical_id in service(canary, "api").depends_on


def test_scaling_tracks_the_requests_of_both_groups(canary: Templates, dev: Templates) -> None:
    """The predefined metric knows one target group: after every other deployment it would see no request."""
    policy = canary.one(
        "AWS::ApplicationAutoScaling::ScalingPolicy", PolicyName="scaling-policy-api-requests-canary-alice"
    )
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert (tracking["TargetValue"], "PredefinedMetricSpecification" in tracking) == (
        CapacityConfig().request_target,
        False,
    )
    *counts, total = tracking["CustomizedMetricSpecification"]["Metrics"]
    assert (total["Expression"], total["ReturnData"]) == ("SUM([group0, group1])", True)
    counted = set()
    for each in counts:
        assert (each["MetricStat"]["Stat"], each["ReturnData"]) == ("Sum", False)
        metric = each["MetricStat"]["Metric"]
        assert (metric["Namespace"], metric["MetricName"]) == ("AWS/ApplicationELB", "RequestCountPerTarget")
        dimensions = {item["Name"]: canary.resolve(STACK, item["Value"]) for item in metric["Dimensions"]}
        assert set(dimensions) == {"TargetGroup", "LoadBalancer"}
        counted.add(dimensions["TargetGroup"])
    assert counted == {f"{STACK}/{logical_id}.TargetGroupFullName" for logical_id in target_groups(canary).values()}
    ids = {
        each.logical_id: each["PolicyName"].removesuffix("-dev")
        for each in dev.all("AWS::ApplicationAutoScaling::ScalingPolicy")
    }
    assert ids[policy.logical_id] == "scaling-policy-api-requests", "or a switch would delete the policy it just made"


def test_no_other_stack_imports_canary_resources(canary: Templates, dev: Templates) -> None:
    """CloudFormation deletes no export that is in use, and the stack that uses it is updated later."""

    def exports(templates: Templates) -> set[str]:
        return {
            output["Export"]["Name"].split(":")[1]
            for stack, template in templates.by_stack.items()
            if stack.startswith("payment-service-")
            for output in template["Outputs"].values()
            if "Export" in output
        }

    assert exports(canary) == exports(dev)
    assert len(exports(dev)) >= 2


def test_the_worker_stays_rolling(canary: Templates) -> None:
    assert "Strategy" not in service(canary, "worker")["DeploymentConfiguration"]


def test_switching_keeps_services_and_the_default_action(canary: Templates, dev: Templates) -> None:
    for kind in ("api", "worker"):
        assert service(canary, kind).logical_id == service(dev, kind).logical_id
    assert listener(canary, 443).logical_id == listener(dev, 443).logical_id
    assert listener(canary, 443)["DefaultActions"] == listener(dev, 443)["DefaultActions"]


def test_the_runbook_documents_the_trap() -> None:
    runbook = (PROJECT / "docs" / "operations.md").read_text()
    section = runbook.split("\n## Canary deployments\n")[1].split("\n## ")[0]
    assert "aws/aws-cdk#36649" in section
    assert "modify-rule" in section
