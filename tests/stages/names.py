"""The naming convention as a rule: `{resource-type}-{environment-suffix}`, for names and for Name tags alike."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from tests.stages.model import Resource, Templates, name_property

#: CloudFormation type to what precedes the suffix: the resource type, then what distinguishes similar resources. Where
#: AWS dictates a form (`/aws/...`, `aws-waf-logs-`, `alias/`), the name keeps it.
FORMS: Mapping[str, str] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": r"scaling-policy-[a-z-]+",
    "AWS::CertificateManager::Certificate": r"certificate",
    "AWS::CloudWatch::Alarm": r"alarm-[a-z0-9-]+",
    "AWS::CloudWatch::Dashboard": r"dashboard",
    "AWS::CodeBuild::Project": r"project-[a-z-]+",
    "AWS::CodeBuild::ReportGroup": r"reports-[a-z]+",
    "AWS::CodePipeline::Pipeline": r"pipeline",
    "AWS::EC2::EIP": r"eip-[a-z]+",
    "AWS::EC2::FlowLog": r"flow-log",
    "AWS::EC2::InternetGateway": r"internet-gateway",
    "AWS::EC2::NatGateway": r"nat-gateway",
    "AWS::EC2::RouteTable": r"route-table-(public|private|isolated)-[a-z0-9]+-az\d",
    "AWS::EC2::SecurityGroup": r"security-group-[a-z]+",
    "AWS::EC2::Subnet": r"subnet-(public|private|isolated)-[a-z0-9]+-az\d",
    "AWS::EC2::VPC": r"vpc",
    "AWS::EC2::VPCEndpoint": r"vpc-endpoint-[a-z0-9]+",
    "AWS::ECS::Cluster": r"ecs-cluster",
    "AWS::ECS::Service": r"ecs-service-[a-z]+",
    "AWS::ECS::TaskDefinition": r"ecs-task-[a-z]+",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": r"alb",
    "AWS::ElasticLoadBalancingV2::TargetGroup": r"tg-https-\d+(-alt)?",
    "AWS::Events::Rule": r"rule-[a-z-]+",
    "AWS::IAM::ManagedPolicy": r"policy-[a-z-]+",
    "AWS::IAM::Role": r"role-[a-z-]+",
    "AWS::KMS::Alias": r"alias/([a-z]+-)?key",
    "AWS::Lambda::Function": r"function-[a-z-]+",
    "AWS::Logs::LogGroup": r"[a-z-]+-logs|pipeline-builds|/aws/lambda/function-[a-z-]+|/aws/rds/cluster/aurora-cluster|"
    r"/aws/ecs/containerinsights/ecs-cluster",
    "AWS::Logs::QueryDefinition": r"query-[a-z-]+",
    "AWS::Logs::ResourcePolicy": r"log-policy-[a-z]+",
    "AWS::RDS::DBCluster": r"aurora-cluster",
    "AWS::RDS::DBClusterParameterGroup": r"aurora-parameters-pg\d+",
    "AWS::RDS::DBInstance": r"aurora-instance-(writer|reader)",
    "AWS::RDS::DBSubnetGroup": r"db-subnet-group",
    "AWS::S3::Bucket": r"[a-z-]+-(artifacts|logs|replica)",
    "AWS::SNS::Topic": r"[a-z]+-topic",
    "AWS::SecretsManager::Secret": r"[a-z-]+-(credentials|keys?)",
    "AWS::WAFv2::WebACL": r"waf-acl",
}
#: What follows the suffix: account and region of globally unique names, the rest of a log group's path.
_AFTER = r"(-\d{12}-[a-z0-9-]+)?(/[a-z]+)?"


def names_of(templates: Templates, resource: Resource) -> Iterator[str]:
    """The physical name of a resource and its Name tag, as far as it has them."""
    own = name_property(resource.type)
    if own is not None and own in resource.properties:
        yield str(templates.resolve(resource.stack, resource[own]))
    tags = resource.properties.get("Tags", [])
    pairs = tags.items() if isinstance(tags, dict) else [(tag["Key"], tag["Value"]) for tag in tags]
    yield from (str(value) for key, value in pairs if key == "Name")


def misnamed(templates: Templates, suffix: str) -> list[str]:
    """Violations of the convention as messages."""
    found, seen = [], Counter[tuple[str, str, str]]()
    for resource in templates.resources:
        for name in set(names_of(templates, resource)):
            seen[resource.stack, resource.type, name] += 1
            form = FORMS.get(resource.type)
            if form is None:
                found.append(f"{resource}: add the form of its name to FORMS")
            elif not re.fullmatch(f"({form})-{re.escape(suffix)}{_AFTER}", name):
                found.append(f"{resource} is named {name}, must be {form}-{suffix}")
    return found + [
        f"{stack}: {count} {kind} are named {name}" for (stack, kind, name), count in seen.items() if count > 1
    ]
