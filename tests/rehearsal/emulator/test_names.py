"""Names that exist are refused, as by CloudFormation."""

import pytest

from rehearsal.account import sessions
from rehearsal.emulator.handlers.names import NAMED_TYPES
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, resource

pytestmark = pytest.mark.rehearsal

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::name/*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
METRIC = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "name"}
PROPERTIES: dict[str, dict[str, object]] = {
    "AWS::CloudWatch::Alarm": {
        "MetricName": "m",
        "Namespace": "n",
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
        "Statistic": "Sum",
        "Threshold": 1,
    },
    "AWS::CloudWatch::Dashboard": {"DashboardBody": "{}"},
    "AWS::ECR::Repository": {},
    "AWS::ECS::Cluster": {},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"Subnets": ["subnet-00000001", "subnet-00000002"]},
    "AWS::ElasticLoadBalancingV2::TargetGroup": {
        "TargetType": "ip",
        "Port": 1,
        "Protocol": "HTTP",
        "VpcId": "vpc-00000001",
    },
    "AWS::Events::Rule": {"ScheduleExpression": "rate(1 day)"},
    "AWS::IAM::ManagedPolicy": {"PolicyDocument": POLICY},
    "AWS::IAM::Role": {"AssumeRolePolicyDocument": TRUST},
    "AWS::KMS::Alias": {"TargetKeyId": "11111111-1111-1111-1111-111111111111"},
    "AWS::Lambda::Function": {
        "Runtime": "python3.13",
        "Role": "arn:aws:iam::000000000000:role/name",
        "Handler": "index.handler",
        "Code": {"ZipFile": "def handler(event, context): pass"},
    },
    "AWS::Logs::LogGroup": {},
    "AWS::RDS::DBCluster": {
        "Engine": "aurora-postgresql",
        "MasterUsername": "owner",
        "MasterUserPassword": "password1",
    },
    "AWS::RDS::DBInstance": {"Engine": "aurora-postgresql", "DBInstanceClass": "db.serverless"},
    "AWS::RDS::DBSubnetGroup": {"DBSubnetGroupDescription": "d", "SubnetIds": ["subnet-00000001", "subnet-00000002"]},
    "AWS::SNS::Topic": {},
    "AWS::SecretsManager::Secret": {},
    "AWS::WAFv2::WebACL": {"Scope": "REGIONAL", "DefaultAction": {"Allow": {}}, "VisibilityConfig": METRIC},
}


def test_every_named_type_is_tested() -> None:
    assert PROPERTIES.keys() == NAMED_TYPES.keys()


@pytest.mark.parametrize("type_name", sorted(PROPERTIES))
def test_an_existing_name_is_refused(emulator: EmulatorProcess, type_name: str) -> None:
    sessions.open_session(emulator.port).client("ec2").describe_subnets()  # creates the default network
    stacks = Stacks(emulator.port)
    name = "alias/name" if type_name == "AWS::KMS::Alias" else "name"
    resources = {"One": resource(type_name, **{NAMED_TYPES[type_name][0]: name}, **PROPERTIES[type_name])}
    kind = type_name.replace("::", "-")
    stacks.deploy(f"first-{kind}", resources, tags={"release": "1"})

    with pytest.raises(
        StackFailedError, match=f"Resource of type '{type_name}' with identifier '{name}' already exists"
    ):
        stacks.deploy(f"second-{kind}", resources)

    stacks.deploy(f"first-{kind}", resources, tags={"release": "2"})
    stacks.delete(f"second-{kind}")
    stacks.delete(f"first-{kind}")
